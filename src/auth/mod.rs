//! Credentials: whose is this user name and password?
//!
//! Passwords are compared as keyed hashes (HMAC-SHA-256, key made at start), in constant time. An
//! argon2 hash is verified once; the keyed hash of what passed, and of what failed last, is
//! remembered in memory, so that argon2 runs once per device and not once per message. A name that
//! nobody has costs the same work as a name that somebody has.
//!
//! Guessing is slowed by argon2 and by the error budget of a session; see `session::Limits`.

mod generate;
mod users;

pub use generate::{GenerateError, GeneratedCredential};
pub use users::{Authenticator, Checked, User, UserError, Verifier};
