//! `device password`: a credential that can be typed, and the settings that accept it.

use crate::auth::GeneratedCredential;

use super::arguments::PasswordOptions;
use super::failure::Failure;
use super::terminal::say;

pub(super) fn password(options: PasswordOptions) -> Result<(), Failure> {
    let made = GeneratedCredential::new(&options.username).map_err(|error| Failure::of(&error))?;
    let device = options.device.unwrap_or_else(|| made.username.clone());
    say(&format!(
        "Type this into the device; the password is not stored and not shown again:\n\n  \
         username  {name}\n  password  {}\n\nPut this into the settings:\n\n  [devices.{}]\n  \
         username = \"{name}\"\n  password_hash = \"{}\"\n",
        made.password.expose(),
        quoted_if_needed(&device),
        made.hash,
        name = made.username,
    ))
}

/// TOML takes bare keys of letters, digits, `-` and `_`.
fn quoted_if_needed(name: &str) -> String {
    let bare = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    if !name.is_empty() && name.bytes().all(bare) {
        name.to_owned()
    } else {
        format!("{name:?}")
    }
}
