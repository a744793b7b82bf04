//! Credentials that can be typed on a printer's panel.
//!
//! device-quirks 3.11

use argon2::password_hash::SaltString;
use argon2::{Argon2, PasswordHasher};
use aws_lc_rs::rand;

use crate::config::Secret;

/// A user name and password with the hash that goes into the configuration.
#[derive(Debug)]
pub struct GeneratedCredential {
    /// `[a-z][a-z0-9]{4,15}`
    pub username: String,
    /// 16 letters and digits that can't be mistaken for each other: 92 bits.
    pub password: Secret<String>,
    /// argon2id in PHC form.
    pub hash: String,
}

/// No credential could be made.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Panels take no other names.
    #[error("the user name must be 5 to 16 lower-case letters and digits, beginning with a letter")]
    Username,
    /// The system gives no random numbers, or argon2 no memory.
    #[error("cannot make a password: {0}")]
    Failed(String),
}

impl GeneratedCredential {
    /// A credential for this user name; `""` for a random one.
    ///
    /// # Errors
    /// When the name does not suit a panel.
    pub fn new(username: &str) -> Result<Self, GenerateError> {
        let username = if username.is_empty() {
            format!("dev{}", random_text(b"abcdefghjkmnpqrstuvwxyz23456789", 5)?)
        } else {
            username.to_owned()
        };
        let mut letters = username.bytes();
        let fits = (5..=16).contains(&username.len())
            && letters.next().is_some_and(|byte| byte.is_ascii_lowercase())
            && letters.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
        if !fits {
            return Err(GenerateError::Username);
        }
        let password = random_text(PASSWORD_LETTERS, PASSWORD_LENGTH)?;
        let mut salt = [0; 16];
        rand::fill(&mut salt).map_err(|_| failed("no random numbers"))?;
        let salt = SaltString::encode_b64(&salt).map_err(|error| failed(&error.to_string()))?;
        let hash = Argon2::default()
            .hash_password(password.as_bytes(), &salt)
            .map_err(|error| failed(&error.to_string()))?
            .to_string();
        Ok(Self {
            username,
            password: Secret::new(password),
            hash,
        })
    }
}

fn failed(why: &str) -> GenerateError {
    GenerateError::Failed(why.to_owned())
}

/// Letters drawn evenly: octets that would favour some letters are drawn again.
fn random_text(letters: &[u8], length: usize) -> Result<String, GenerateError> {
    let even = 256 - 256 % letters.len();
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut octet = [0];
        rand::fill(&mut octet).map_err(|_| failed("no random numbers"))?;
        let drawn = usize::from(octet[0]);
        if drawn < even {
            text.push(char::from(letters[drawn % letters.len()]));
        }
    }
    Ok(text)
}

/// No 0 and O, no 1, I and l: `[a-km-zA-HJ-NP-Z2-9]`.
const PASSWORD_LETTERS: &[u8] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
const PASSWORD_LENGTH: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_generated_credential_can_be_typed_on_a_panel() {
        let generated = GeneratedCredential::new("").expect("a credential");
        assert!(generated.username.len() >= 5);
        let password = generated.password.expose();
        assert_eq!(password.len(), 16);
        assert!(
            password
                .bytes()
                .all(|byte| PASSWORD_LETTERS.contains(&byte))
        );
        assert!(generated.hash.starts_with("$argon2id$v=19$"));
        for name in ["abc", "2abcd", "Abcde", "a b c d", "abcdefghijklmnopq"] {
            assert!(GeneratedCredential::new(name).is_err(), "{name}");
        }
    }
}
