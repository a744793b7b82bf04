//! The users there are, and how a password is checked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;

use crate::config::Secret;
use crate::mail::{Identity, SignIn};
use crate::rules::{Rules, UserRule};

use super::hashes::{self, verify_password};

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
pub enum Authentication {
    /// It is this device or user.
    Granted(Identity),
    /// It is nobody; the device or user is the one whose name was used.
    Denied(Option<Arc<str>>),
    /// Only [`Authenticator::check_slowly`] can say.
    NeedsSlowCheck,
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
    pub fn has_users(&self, rules: &Rules) -> bool {
        !self.users.is_empty() || provider_has_passwords(rules) || rules.awaits_users()
    }

    /// Whether a device can sign in.
    pub fn has_devices(&self) -> bool {
        !self.users.is_empty()
    }

    /// Who this name would prove to be: a device by its user name or its own name, or an SMTP user.
    pub fn identity_of(&self, name: &str, rules: &Rules, listener: &str) -> Option<Identity> {
        if let Some(known) = self.users.get(name) {
            return Some(Identity::Device(Arc::clone(&known.device)));
        }
        if let Some((device, _)) = rules.devices.get_key_value(name) {
            return Some(Identity::Device(Arc::clone(device)));
        }
        let (account, user) = candidates(rules, listener, name).into_iter().next()?;
        Some(Identity::User {
            account: Arc::clone(account),
            name: Arc::clone(&user.name),
        })
    }

    /// Decides where that is cheap. A user of the provider's belongs to the account of the listener, or to another
    /// one: its password says to which.
    pub fn check(&self, sign_in: &SignIn, rules: &Rules, listener: &str) -> Authentication {
        let given = tag(&self.key, &sign_in.username, &sign_in.password);
        let Some(user) = self.users.get(&sign_in.username) else {
            return self.check_provider_user(sign_in, rules, listener);
        };
        let no = || Authentication::Denied(Some(Arc::clone(&user.device)));
        if !is_plausible(sign_in) {
            return no();
        }
        let right = match &user.proof {
            Proof::Tag(tag) => tag.is(&given),
            Proof::Hash { passed, .. } => {
                let passed = passed.lock().unwrap_or_else(PoisonError::into_inner);
                passed.as_ref().is_some_and(|tag| tag.is(&given))
            }
        };
        if right {
            return Authentication::Granted(Identity::Device(Arc::clone(&user.device)));
        }
        // A wrong password takes as long whosever name it is with, the first time and every other.
        if provider_has_passwords(rules) {
            let _ = verify_password(&hashes::NOBODY, &sign_in.password);
        }
        if self.any_hash {
            Authentication::NeedsSlowCheck
        } else {
            no()
        }
    }

    fn check_provider_user(
        &self,
        sign_in: &SignIn,
        rules: &Rules,
        listener: &str,
    ) -> Authentication {
        let plausible = is_plausible(sign_in);
        let mut used = None;
        if plausible {
            let found = candidates(rules, listener, &sign_in.username);
            let mut hashes = 0;
            for (account, user) in found {
                used.get_or_insert_with(|| Arc::clone(&user.name));
                let Some(hash) = &user.password else { continue };
                hashes += 1;
                if verify_password(hash, &sign_in.password) {
                    return Authentication::Granted(Identity::User {
                        account: Arc::clone(account),
                        name: Arc::clone(&user.name),
                    });
                }
            }
            if hashes == 0 && provider_has_passwords(rules) {
                // The same work as for a name that somebody has.
                let _ = verify_password(&hashes::NOBODY, &sign_in.password);
            }
        }
        if self.any_hash && plausible {
            Authentication::NeedsSlowCheck
        } else {
            Authentication::Denied(used)
        }
    }

    /// Decides by argon2: tens of milliseconds and 19 MB, so off the runtime's threads. Never
    /// [`Authentication::NeedsSlowCheck`].
    pub fn check_slowly(&self, sign_in: &SignIn) -> Authentication {
        let verify = |phc: &str| {
            PasswordHash::new(phc).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(&sign_in.password, &hash)
                    .is_ok()
            })
        };
        let Some(user) = self.users.get(&sign_in.username) else {
            verify(NOBODY);
            return Authentication::Denied(None);
        };
        let Proof::Hash { phc, passed } = &user.proof else {
            verify(NOBODY);
            return Authentication::Denied(Some(Arc::clone(&user.device)));
        };
        if !verify(phc.expose()) {
            return Authentication::Denied(Some(Arc::clone(&user.device)));
        }
        let given = tag(&self.key, &sign_in.username, &sign_in.password);
        *passed.lock().unwrap_or_else(PoisonError::into_inner) = Some(given);
        Authentication::Granted(Identity::Device(Arc::clone(&user.device)))
    }
}

/// The users of this name, those of the listener's account first.
fn candidates<'r>(
    rules: &'r Rules,
    listener: &str,
    username: &str,
) -> Vec<(&'r Arc<str>, &'r UserRule)> {
    let own = rules.listeners.get(listener).map(|rule| &rule.account);
    let mut found: Vec<(&Arc<str>, &UserRule)> = rules
        .accounts
        .iter()
        .filter_map(|(name, account)| Some((name, account.users.value()?.get(username)?)))
        .collect();
    found.sort_by_key(|(name, _)| Some(*name) != own);
    found
}

fn provider_has_passwords(rules: &Rules) -> bool {
    rules.accounts.values().any(|account| {
        let users = account.users.value();
        users.is_some_and(|users| users.iter().any(|user| user.password.is_some()))
    })
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
    use crate::auth::{GeneratedCredential, hash_password};
    use crate::rules::{AccountRules, Confirmed, ListenerRule, Section, Standing, Users};

    fn sign_in(username: &str, password: &str) -> SignIn {
        SignIn {
            username: username.to_owned(),
            password: password.as_bytes().to_vec(),
        }
    }

    fn yes(device: &str) -> Authentication {
        Authentication::Granted(Identity::Device(device.into()))
    }

    fn rules_with(users: Vec<(&str, &str, &str)>) -> Rules {
        let mut rules = Rules::default();
        let rule = ListenerRule {
            account: "default".into(),
            trust: Vec::new(),
            require_tls: false,
        };
        rules.listeners.insert("lan".into(), rule);
        for (account, name, password) in users {
            let known = rules.accounts.entry(account.into()).or_default();
            let mut users = Users::default();
            users.insert(UserRule {
                name: name.into(),
                standing: Standing::Allowed,
                limit: None,
                password: hash_password(password),
            });
            let mut changed = AccountRules::clone(known);
            changed.users = Section::known(Arc::new(users), Confirmed::default());
            *known = Arc::new(changed);
        }
        rules
    }

    #[test]
    fn a_provider_user_signs_in_to_its_own_account_and_a_configured_name_comes_first() {
        let device = User {
            device: "cam".into(),
            username: "taken".to_owned(),
            verifier: Verifier::Password(Secret::new("p".to_owned())),
        };
        let authenticator = Authenticator::new([device]).expect("users");
        let rules = rules_with(vec![
            ("default", "Printer1", "right-1"),
            ("other", "printer1", "right-2"),
        ]);
        let check = |name: &str, password: &str| {
            authenticator.check(&sign_in(name, password), &rules, "lan")
        };
        let user = |account: &str, name: &str| {
            Authentication::Granted(Identity::User {
                account: account.into(),
                name: name.into(),
            })
        };
        assert_eq!(check("printer1", "right-1"), user("default", "Printer1"));
        assert_eq!(check("PRINTER1", "right-2"), user("other", "printer1"));
        assert_eq!(
            check("printer1", "wrong"),
            Authentication::Denied(Some("Printer1".into()))
        );
        assert_eq!(check("nobody", "right-1"), Authentication::Denied(None));
        assert_eq!(check("printer1", ""), Authentication::Denied(None));
        let rules = rules_with(vec![("default", "taken", "right-1")]);
        let checked = authenticator.check(&sign_in("taken", "right-1"), &rules, "lan");
        assert_eq!(checked, Authentication::Denied(Some("cam".into())));
        assert!(authenticator.has_users(&Rules::default()));
        let nobody = Authenticator::new([]).expect("no users");
        assert!(nobody.has_users(&rules) && !nobody.has_users(&Rules::default()));
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

        assert_eq!(
            authenticator.check(&right, &Rules::default(), "lan"),
            Authentication::NeedsSlowCheck
        );
        assert_eq!(authenticator.check_slowly(&right), yes("ricoh"));
        assert_eq!(
            authenticator.check(&right, &Rules::default(), "lan"),
            yes("ricoh")
        );

        assert_eq!(
            authenticator.check_slowly(&wrong),
            Authentication::Denied(Some("ricoh".into()))
        );
        assert_eq!(
            authenticator.check(&wrong, &Rules::default(), "lan"),
            Authentication::NeedsSlowCheck,
            "the same work, every time"
        );
        assert_eq!(
            authenticator.check(&right, &Rules::default(), "lan"),
            yes("ricoh")
        );

        let nobody = sign_in("nobody", "x");
        assert_eq!(
            authenticator.check(&nobody, &Rules::default(), "lan"),
            Authentication::NeedsSlowCheck,
            "same work"
        );
        assert_eq!(
            authenticator.check_slowly(&nobody),
            Authentication::Denied(None)
        );
    }

    #[test]
    fn a_plain_password_is_compared_and_an_empty_one_never_matches() {
        let user = |password: &str| User {
            device: "cam".into(),
            username: "cam".to_owned(),
            verifier: Verifier::Password(Secret::new(password.to_owned())),
        };
        let authenticator = Authenticator::new([user("p")]).expect("users");
        assert_eq!(
            authenticator.check(&sign_in("cam", "p"), &Rules::default(), "lan"),
            yes("cam")
        );
        assert_eq!(
            authenticator.check(&sign_in("cam", "q"), &Rules::default(), "lan"),
            Authentication::Denied(Some("cam".into()))
        );
        let authenticator = Authenticator::new([user("")]).expect("users");
        assert_eq!(
            authenticator.check(&sign_in("cam", ""), &Rules::default(), "lan"),
            Authentication::Denied(Some("cam".into()))
        );
    }

    #[test]
    fn a_wrong_plain_password_takes_as_long_as_a_hash_where_there_are_any() {
        let user = |name: &str, verifier: Verifier| User {
            device: name.into(),
            username: name.to_owned(),
            verifier,
        };
        let authenticator = Authenticator::new([
            user("cam", Verifier::Password(Secret::new("p".to_owned()))),
            user("ricoh", Verifier::Hash(Secret::new(NOBODY.to_owned()))),
        ]);
        let authenticator = authenticator.expect("users");
        let check = |password| {
            let given = sign_in("cam", password);
            authenticator.check(&given, &Rules::default(), "lan")
        };
        assert_eq!(check("p"), yes("cam"));
        assert_eq!(check("q"), Authentication::NeedsSlowCheck);
        assert_eq!(
            authenticator.check_slowly(&sign_in("cam", "q")),
            Authentication::Denied(Some("cam".into()))
        );
    }
}
