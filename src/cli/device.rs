//! `device password`: a credential that can be typed, and the settings that accept it.

use crate::auth::GeneratedCredential;

use super::arguments::PasswordOptions;
use super::failure::Failure;

pub(super) fn password(options: PasswordOptions) -> Result<(), Failure> {
    let made = GeneratedCredential::new(&options.username).map_err(|error| Failure::of(&error))?;
    let device = options.device.unwrap_or_else(|| made.username.clone());
    println!("Type this into the device; the password is not stored and not shown again:\n");
    println!("  username  {}", made.username);
    println!("  password  {}\n", made.password.expose());
    println!("Put this into the settings:\n");
    println!("  [devices.{}]", quoted_if_needed(&device));
    println!("  username = \"{}\"", made.username);
    println!("  password_hash = \"{}\"", made.hash);
    Ok(())
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
