//! What is kept of the passwords that the provider shows.
//!
//! The provider wants 64 bits of entropy and makes 128 (provider-api 9), which no amount of hashing makes safer;
//! the salt and a thousand rounds are for the old and short ones. Thousands of users are hashed within a second or
//! two, and a sign-in costs a fraction of a millisecond.

use std::num::NonZeroU32;

use aws_lc_rs::{pbkdf2, rand};

use crate::rules::PasswordHash;

/// The hash of a password, with a salt of its own; `None` where the system gives no random numbers.
pub fn hash_password(password: &str) -> Option<PasswordHash> {
    let mut salt = [0; 16];
    rand::fill(&mut salt).ok()?;
    let mut hash = [0; 32];
    pbkdf2::derive(ALGORITHM, ROUNDS, &salt, password.as_bytes(), &mut hash);
    Some(PasswordHash { salt, hash })
}

/// Whether this is the password; in constant time.
#[must_use]
pub fn verify_password(hash: &PasswordHash, password: &[u8]) -> bool {
    pbkdf2::verify(ALGORITHM, ROUNDS, &hash.salt, password, &hash.hash).is_ok()
}

/// What a name that nobody has is verified against.
pub(super) const NOBODY: PasswordHash = PasswordHash {
    salt: [0; 16],
    hash: [0; 32],
};

static ALGORITHM: pbkdf2::Algorithm = pbkdf2::PBKDF2_HMAC_SHA256;
const ROUNDS: NonZeroU32 = NonZeroU32::new(1000).expect("is not zero");
