//! Credentials: whose is this user name and password?
//!
//! Passwords are compared as keyed hashes (HMAC-SHA-256, key made at start), in constant time. An
//! argon2 hash is verified once; the keyed hash of what passed, and of what failed last, is
//! remembered in memory, so that argon2 runs once per device and not once per message. A name that
//! nobody has costs the same work as a name that somebody has.
//!
//! SMTP users of the provider's sign in with their own names, where it shows their passwords; what is kept of those
//! is a salted hash ([`hash_password`]). A name of the configuration comes first.
//!
//! Guessing is slowed by [`SignInThrottle`], by argon2 and by the error budget of a session (`session::Limits`).

mod generate;
mod guard;
mod hashes;
mod users;

pub use generate::{GenerateError, GeneratedCredential};
pub use guard::{Leave, SignInThrottle};
pub use hashes::{hash_password, verify_password};
pub use users::{Authentication, Authenticator, User, UserError, Verifier};
