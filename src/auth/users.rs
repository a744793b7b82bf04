//! The users there are, and how a password is checked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::config::Secret;
use crate::mail::{Identity, SignIn};

/// One user name and what proves it.
#[derive(Debug)]
pub struct User {
    /// The device it belongs to.
    pub device: Arc<str>,
    /// The name.
    pub username: String,
    /// What proves it.
    pub verifier: Verifier,
}

/// What proves a user name.
#[derive(Debug)]
pub enum Verifier {
    /// The password itself.
    Password(Secret<String>),
    /// An argon2 hash in PHC form.
    Hash(Secret<String>),
}

/// A user can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The system gives no random numbers.
    #[error("no random numbers for the key of remembered passwords")]
    NoRandom,
}

/// Checks credentials.
#[derive(Debug)]
pub struct Authenticator {
    key: hmac::Key,
    users: HashMap<String, Known>,
    /// Whether unknown names must cost an argon2, too.
    any_hash: bool,
}

#[derive(Debug)]
struct Known {
    device: Arc<str>,
    proof: Proof,
}

#[derive(Debug)]
enum Proof {
    Tag(Tag),
    Hash {
        phc: Secret<String>,
        passed: Mutex<Option<Tag>>,
        failed: Mutex<Option<Tag>>,
    },
}

/// The keyed hash of a name and password.
#[derive(Clone, Debug)]
struct Tag(hmac::Tag);

impl Tag {
    fn is(&self, other: &Self) -> bool {
        verify_slices_are_equal(self.0.as_ref(), other.0.as_ref()).is_ok()
    }
}

/// The result of a check that costs next to nothing.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Checked {
    /// It is this device.
    Yes(Identity),
    /// It is nobody; the device is the one whose name was used.
    No(Option<Arc<str>>),
    /// Only [`Authenticator::check_slowly`] can say.
    Unsure,
}

impl Authenticator {
    /// Sets up all users.
    ///
    /// # Errors
    /// When the system gives no random numbers.
    pub fn new(users: impl IntoIterator<Item = User>) -> Result<Self, UserError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &aws_lc_rs::rand::SystemRandom::new())
            .map_err(|_| UserError::NoRandom)?;
        let mut known = HashMap::new();
        let mut any_hash = false;
        for user in users {
            let proof = match user.verifier {
                Verifier::Password(password) => {
                    Proof::Tag(tag(&key, &user.username, password.expose().as_bytes()))
                }
                Verifier::Hash(phc) => {
                    any_hash = true;
                    Proof::Hash {
                        phc,
                        passed: Mutex::new(None),
                        failed: Mutex::new(None),
                    }
                }
            };
            let entry = Known {
                device: user.device,
                proof,
            };
            known.insert(user.username, entry);
        }
        Ok(Self {
            key,
            users: known,
            any_hash,
        })
    }

    /// Whether anybody can sign in at all.
    pub fn has_users(&self) -> bool {
        !self.users.is_empty()
    }

    /// Decides where that is cheap.
    pub fn check(&self, sign_in: &SignIn) -> Checked {
        let given = tag(&self.key, &sign_in.username, &sign_in.password);
        let Some(user) = self.users.get(&sign_in.username) else {
            return if self.any_hash && is_plausible(sign_in) {
                Checked::Unsure
            } else {
                Checked::No(None)
            };
        };
        let yes = || {
            Checked::Yes(Identity {
                device: Arc::clone(&user.device),
            })
        };
        let no = || Checked::No(Some(Arc::clone(&user.device)));
        match &user.proof {
            _ if !is_plausible(sign_in) => no(),
            Proof::Tag(tag) if tag.is(&given) => yes(),
            // A wrong password must take as long as it does for a name with a hash.
            Proof::Tag(_) if self.any_hash => Checked::Unsure,
            Proof::Tag(_) => no(),
            Proof::Hash { passed, failed, .. } => {
                let remembered = |slot: &Mutex<Option<Tag>>| {
                    let slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
                    slot.as_ref().is_some_and(|tag| tag.is(&given))
                };
                if remembered(passed) {
                    yes()
                } else if remembered(failed) {
                    no()
                } else {
                    Checked::Unsure
                }
            }
        }
    }

    /// Decides by argon2: tens of milliseconds and 19 MB, so off the runtime's threads. Never
    /// [`Checked::Unsure`].
    pub fn check_slowly(&self, sign_in: &SignIn) -> Checked {
        let verify = |phc: &str| {
            PasswordHash::new(phc).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(&sign_in.password, &hash)
                    .is_ok()
            })
        };
        let Some(user) = self.users.get(&sign_in.username) else {
            verify(NOBODY);
            return Checked::No(None);
        };
        let Proof::Hash {
            phc,
            passed,
            failed,
        } = &user.proof
        else {
            verify(NOBODY);
            return Checked::No(Some(Arc::clone(&user.device)));
        };
        let right = verify(phc.expose());
        let slot = if right { passed } else { failed };
        let given = tag(&self.key, &sign_in.username, &sign_in.password);
        *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(given);
        if right {
            Checked::Yes(Identity {
                device: Arc::clone(&user.device),
            })
        } else {
            Checked::No(Some(Arc::clone(&user.device)))
        }
    }
}

/// 1 to 255 octets each; an empty password never matches anything.
fn is_plausible(sign_in: &SignIn) -> bool {
    (1..=255).contains(&sign_in.username.len()) && (1..=255).contains(&sign_in.password.len())
}

fn tag(key: &hmac::Key, username: &str, password: &[u8]) -> Tag {
    let mut context = hmac::Context::with_key(key);
    // The length separates name and password, whatever octets they hold.
    context.update(&(username.len() as u64).to_be_bytes());
    context.update(username.as_bytes());
    context.update(password);
    Tag(context.sign())
}

/// A hash that no password was kept for: what a name that nobody has is verified against.
const NOBODY: &str = "$argon2id$v=19$m=19456,t=2,p=1$c210cDJnby1nYXRld2F5$\
                      AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::GeneratedCredential;

    fn sign_in(username: &str, password: &str) -> SignIn {
        SignIn {
            username: username.to_owned(),
            password: password.as_bytes().to_vec(),
        }
    }

    fn yes(device: &str) -> Checked {
        Checked::Yes(Identity {
            device: device.into(),
        })
    }

    #[test]
    fn a_hash_is_verified_once_and_remembered() {
        let generated = GeneratedCredential::new("ricoh2").expect("a credential");
        let user = User {
            device: "ricoh".into(),
            username: generated.username.clone(),
            verifier: Verifier::Hash(Secret::new(generated.hash.clone())),
        };
        let authenticator = Authenticator::new([user]).expect("users");
        let right = sign_in(&generated.username, generated.password.expose());
        let wrong = sign_in(&generated.username, "wrong");

        assert_eq!(authenticator.check(&right), Checked::Unsure);
        assert_eq!(authenticator.check_slowly(&right), yes("ricoh"));
        assert_eq!(authenticator.check(&right), yes("ricoh"));

        assert_eq!(
            authenticator.check_slowly(&wrong),
            Checked::No(Some("ricoh".into()))
        );
        assert_eq!(
            authenticator.check(&wrong),
            Checked::No(Some("ricoh".into()))
        );
        assert_eq!(authenticator.check(&right), yes("ricoh"));

        let nobody = sign_in("nobody", "x");
        assert_eq!(authenticator.check(&nobody), Checked::Unsure, "same work");
        assert_eq!(authenticator.check_slowly(&nobody), Checked::No(None));
    }

    #[test]
    fn a_plain_password_is_compared_and_an_empty_one_never_matches() {
        let user = |password: &str| User {
            device: "cam".into(),
            username: "cam".to_owned(),
            verifier: Verifier::Password(Secret::new(password.to_owned())),
        };
        let authenticator = Authenticator::new([user("p")]).expect("users");
        assert_eq!(authenticator.check(&sign_in("cam", "p")), yes("cam"));
        assert_eq!(
            authenticator.check(&sign_in("cam", "q")),
            Checked::No(Some("cam".into()))
        );
        let authenticator = Authenticator::new([user("")]).expect("users");
        assert_eq!(
            authenticator.check(&sign_in("cam", "")),
            Checked::No(Some("cam".into()))
        );
    }
}
