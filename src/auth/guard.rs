//! Slows down guessing: pure, fed with what sign-ins came to.
//!
//! What is counted is a pair of client address and user name: a whole site is never shut out because one device
//! has an old password, and neither is a user because somebody elsewhere guesses. Names that nobody has are
//! counted like others. What is kept is a keyed hash of the pair, of the same size whatever the name is.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct GuessingGuard {
    seed: RandomState,
    pairs: HashMap<u64, Guesses>,
}

#[derive(Clone, Copy, Debug)]
struct Guesses {
    /// In a row.
    wrong: u32,
    last: Instant,
    /// Nothing is looked at before.
    until: Instant,
}

impl GuessingGuard {
    /// Whether the next password may be looked at.
    #[must_use]
    pub fn permits(&self, address: IpAddr, username: &str, now: Instant) -> bool {
        let pair = self.pairs.get(&self.pair(address, username));
        pair.is_none_or(|guesses| guesses.until <= now)
    }

    /// A password is looked at, and counts as wrong until it is found to be right: guesses at once are guesses, too.
    pub fn guess(&mut self, address: IpAddr, username: &str, now: Instant) {
        self.make_room(now);
        let pair = self.pair(address, username);
        let guesses = self.pairs.entry(pair).or_insert(Guesses {
            wrong: 0,
            last: now,
            until: now,
        });
        if now.saturating_duration_since(guesses.last) > FORGET_AFTER {
            guesses.wrong = 0;
        }
        guesses.wrong = guesses.wrong.saturating_add(1);
        guesses.last = now;
        let over = guesses.wrong.saturating_sub(FREE_GUESSES);
        if over > 0 {
            let pause = PAUSE_FIRST.saturating_mul(1 << (over - 1).min(8));
            guesses.until = now + pause.min(PAUSE_MAX);
        }
    }

    /// A password was right.
    pub fn right(&mut self, address: IpAddr, username: &str) {
        let pair = self.pair(address, username);
        self.pairs.remove(&pair);
    }

    fn pair(&self, address: IpAddr, username: &str) -> u64 {
        // One host of IPv6 has as many addresses as it likes, of one network.
        let address = match address {
            IpAddr::V6(address) => {
                let network = address.to_bits() & (u128::MAX << 64);
                IpAddr::V6(network.into())
            }
            address => address,
        };
        self.seed.hash_one((address, username.to_lowercase()))
    }

    /// Old pairs go first; where all are fresh, somebody makes up names, and the oldest goes.
    fn make_room(&mut self, now: Instant) {
        if self.pairs.len() < PAIRS_MAX {
            return;
        }
        self.pairs
            .retain(|_, guesses| now.saturating_duration_since(guesses.last) <= FORGET_AFTER);
        while self.pairs.len() >= PAIRS_MAX {
            // What waits is kept: making up names must not end anybody's pause.
            let oldest = self
                .pairs
                .iter()
                .min_by_key(|(_, guesses)| (guesses.until > now, guesses.last))
                .map(|(pair, _)| *pair);
            let Some(oldest) = oldest else { return };
            self.pairs.remove(&oldest);
        }
    }
}

/// Typing errors, and devices that try three times in a row.
const FREE_GUESSES: u32 = 9;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// A thousand guesses a day, where a generated password has 2^92; a device whose password was mended is in again
/// within minutes.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// A few hundred kilobytes.
const PAIRS_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[test]
    fn guesses_in_a_row_cost_more_and_more_time_and_nobody_else_any() {
        let here: IpAddr = [192, 0, 2, 1].into();
        let there: IpAddr = [192, 0, 2, 2].into();
        let mut guard = GuessingGuard::default();
        let mut now = Clock.now();
        for _ in 0..FREE_GUESSES {
            assert!(guard.permits(here, "ricoh", now));
            guard.guess(here, "ricoh", now);
        }
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(guard.permits(here, "Ricoh", now));
            guard.guess(here, "Ricoh", now);
            assert!(!guard.permits(here, "ricoh", now));
            let mut pause = 0;
            while !guard.permits(here, "ricoh", now) {
                now += Duration::from_secs(1);
                pause += 1;
            }
            pauses.push(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        guard.guess(here, "ricoh", now);
        assert!(guard.permits(there, "ricoh", now) && guard.permits(here, "canon", now));
        guard.right(here, "ricoh");
        assert!(guard.permits(here, "ricoh", now));
    }

    #[test]
    fn one_network_of_ipv6_is_one_guesser() {
        let mut guard = GuessingGuard::default();
        let now = Clock.now();
        for number in 0..=FREE_GUESSES {
            let address: IpAddr = [0x2001, 0xdb8, 0, 1, 0, 0, 0, number as u16].into();
            guard.guess(address, "ricoh", now);
        }
        assert!(!guard.permits([0x2001, 0xdb8, 0, 1, 9, 9, 9, 9].into(), "ricoh", now));
        assert!(guard.permits([0x2001, 0xdb8, 0, 2, 0, 0, 0, 0].into(), "ricoh", now));
    }

    #[test]
    fn made_up_names_cost_a_bounded_memory_and_end_no_pause() {
        let here: IpAddr = [192, 0, 2, 1].into();
        let mut guard = GuessingGuard::default();
        let now = Clock.now();
        for _ in 0..=FREE_GUESSES {
            guard.guess(here, "ricoh", now);
        }
        for number in 0..PAIRS_MAX + 100 {
            guard.guess(here, &format!("name{number}"), now);
        }
        assert!(guard.pairs.len() <= PAIRS_MAX);
        assert!(!guard.permits(here, "ricoh", now));
    }
}
