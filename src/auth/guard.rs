//! Slows down guessing: pure, fed with what sign-ins came to.
//!
//! Counted are pairs of client address and user name, and addresses over all names; names that nobody has count like
//! others. A pair that was right before is paused by nobody: its password passes, whoever guesses beside it. And one
//! device with an old password does not shut its site out: a pair counts for its address only as long as it is not
//! paused itself. What is kept are keyed hashes; a name may be a password that was typed into the wrong field.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::mail::{SignIn, neighbourhood};

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct SignInThrottle {
    seed: RandomState,
    pairs: HashMap<u64, Guesses>,
    addresses: HashMap<u64, Guesses>,
    /// Pairs that were right, with the hash of their password.
    right: HashMap<u64, Right>,
}

#[derive(Clone, Copy, Debug)]
struct Guesses {
    /// In a row.
    wrong: u32,
    last: Instant,
    /// Nothing is looked at before.
    until: Instant,
}

#[derive(Clone, Copy, Debug)]
struct Right {
    password: u64,
    last: Instant,
}

/// What becomes of a sign-in.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Leave {
    /// Its password is looked at.
    Granted,
    /// It has to wait.
    Paused,
    /// It has to wait, and hears so late: another password would have passed.
    PausedSlowly,
}

impl SignInThrottle {
    /// Whether the password may be looked at.
    #[must_use]
    pub fn leave(&self, address: IpAddr, sign_in: &SignIn, now: Instant) -> Leave {
        let pair = self.pair(address, &sign_in.username);
        let pauses = |guesses: Option<&Guesses>| guesses.is_some_and(|guesses| guesses.until > now);
        let pair_paused = pauses(self.pairs.get(&pair));
        match self.right.get(&pair) {
            Some(right) if right.password == self.password(pair, sign_in) => Leave::Granted,
            Some(_) if pair_paused => Leave::PausedSlowly,
            Some(_) => Leave::Granted,
            None if pair_paused || pauses(self.addresses.get(&self.address(address))) => {
                Leave::Paused
            }
            None => Leave::Granted,
        }
    }

    /// A password is looked at, and counts as wrong until it is found to be right: guesses at once are guesses, too.
    pub fn attempt(&mut self, address: IpAddr, username: &str, now: Instant) {
        let (pair, address) = (self.pair(address, username), self.address(address));
        if count(&mut self.pairs, pair, FREE_GUESSES, now) <= FREE_GUESSES {
            count(&mut self.addresses, address, FREE_GUESSES_OF_ADDRESS, now);
        }
    }

    /// A password was right.
    pub fn succeeded(&mut self, address: IpAddr, sign_in: &SignIn, now: Instant) {
        let (pair, address) = (self.pair(address, &sign_in.username), self.address(address));
        let password = self.password(pair, sign_in);
        // As it was counted.
        let counted = self
            .pairs
            .get(&pair)
            .is_some_and(|guesses| guesses.wrong <= FREE_GUESSES);
        if let (Some(guesses), true) = (self.addresses.get_mut(&address), counted) {
            guesses.wrong = guesses.wrong.saturating_sub(1);
        }
        make_room(&mut self.right, pair, |right| right.last);
        let before = self.right.insert(
            pair,
            Right {
                password,
                last: now,
            },
        );
        if before.is_some_and(|before| before.password == password) {
            // The other guesses are somebody else's.
            if let Some(guesses) = self.pairs.get_mut(&pair) {
                guesses.wrong = guesses.wrong.saturating_sub(1);
            }
        } else {
            self.pairs.remove(&pair);
        }
    }

    fn pair(&self, address: IpAddr, username: &str) -> u64 {
        let pair = (neighbourhood(address), username.to_lowercase());
        self.seed.hash_one(pair)
    }

    fn address(&self, address: IpAddr) -> u64 {
        self.seed.hash_one(neighbourhood(address))
    }

    fn password(&self, pair: u64, sign_in: &SignIn) -> u64 {
        self.seed.hash_one((pair, &sign_in.password))
    }
}

/// Counts one more; returns how many that are in a row.
fn count(all: &mut HashMap<u64, Guesses>, key: u64, free: u32, now: Instant) -> u32 {
    if all.len() >= KEPT_MAX {
        all.retain(|_, guesses| now.saturating_duration_since(guesses.last) <= FORGET_AFTER);
    }
    // Where all are fresh, somebody makes up names: whoever guessed least goes, so that nobody's guesses are forgotten
    // for those of others.
    make_room(all, key, |guesses| (guesses.wrong, guesses.last));
    let guesses = all.entry(key).or_insert(Guesses {
        wrong: 0,
        last: now,
        until: now,
    });
    if now.saturating_duration_since(guesses.last) > FORGET_AFTER {
        guesses.wrong = 0;
    }
    guesses.wrong = guesses.wrong.saturating_add(1);
    guesses.last = now;
    let over = guesses.wrong.saturating_sub(free);
    if over > 0 {
        let pause = PAUSE_FIRST.saturating_mul(1 << (over - 1).min(8));
        guesses.until = now + pause.min(PAUSE_MAX);
    }
    guesses.wrong
}

fn make_room<T, O: Ord>(all: &mut HashMap<u64, T>, key: u64, order: impl Fn(&T) -> O) {
    if all.len() < KEPT_MAX || all.contains_key(&key) {
        return;
    }
    let least = all.iter().min_by_key(|(_, value)| order(value));
    if let Some(least) = least.map(|(key, _)| *key) {
        all.remove(&least);
    }
}

/// Typing errors, and devices that try three times in a row.
const FREE_GUESSES: u32 = 9;
/// A dozen devices behind one address that all have an old password.
const FREE_GUESSES_OF_ADDRESS: u32 = 100;
const PAUSE_FIRST: Duration = Duration::from_secs(1);
/// A thousand guesses a day, where a generated password has 2^92; a device whose password was mended is in again
/// within minutes.
const PAUSE_MAX: Duration = Duration::from_secs(60);
const FORGET_AFTER: Duration = Duration::from_secs(3600);
/// Of each kind; a few hundred kilobytes.
const KEPT_MAX: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    fn sign_in(username: &str, password: &str) -> SignIn {
        SignIn {
            username: username.to_owned(),
            password: password.as_bytes().to_vec(),
        }
    }

    fn permits(guard: &SignInThrottle, address: IpAddr, name: &str, now: Instant) -> bool {
        guard.leave(address, &sign_in(name, "wrong"), now) == Leave::Granted
    }

    #[test]
    fn guesses_in_a_row_cost_more_and_more_time_and_nobody_else_any() {
        let mut guard = SignInThrottle::default();
        let mut now = Clock.now();
        for _ in 0..FREE_GUESSES {
            assert!(permits(&guard, HERE, "ricoh", now));
            guard.attempt(HERE, "ricoh", now);
        }
        let mut pauses = Vec::new();
        for _ in 0..8 {
            assert!(permits(&guard, HERE, "Ricoh", now));
            guard.attempt(HERE, "Ricoh", now);
            assert!(!permits(&guard, HERE, "ricoh", now));
            let mut pause = 0;
            while !permits(&guard, HERE, "ricoh", now) {
                now += Duration::from_secs(1);
                pause += 1;
            }
            pauses.push(pause);
        }
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        guard.attempt(HERE, "ricoh", now);
        assert!(permits(&guard, THERE, "ricoh", now) && permits(&guard, HERE, "canon", now));
        guard.succeeded(HERE, &sign_in("ricoh", "right"), now);
        assert!(permits(&guard, HERE, "ricoh", now));
    }

    #[test]
    fn one_network_of_ipv6_is_one_guesser() {
        let mut guard = SignInThrottle::default();
        let now = Clock.now();
        for number in 0..=FREE_GUESSES {
            let address: IpAddr = [0x2001, 0xdb8, 0, 1, 0, 0, 0, number as u16].into();
            guard.attempt(address, "ricoh", now);
        }
        assert!(!permits(
            &guard,
            [0x2001, 0xdb8, 0, 1, 9, 9, 9, 9].into(),
            "ricoh",
            now
        ));
        assert!(permits(
            &guard,
            [0x2001, 0xdb8, 0, 2, 0, 0, 0, 0].into(),
            "ricoh",
            now
        ));
    }

    #[test]
    fn made_up_names_end_no_pause_even_when_it_is_over() {
        let mut guard = SignInThrottle::default();
        let mut now = Clock.now();
        for _ in 0..FREE_GUESSES + 5 {
            guard.attempt(HERE, "ricoh", now);
        }
        now += PAUSE_MAX * 2;
        for number in 0..KEPT_MAX + 100 {
            // From everywhere: the address itself would be paused long before.
            let address = IpAddr::from([10, 0, (number / 250) as u8, (number % 250) as u8]);
            guard.attempt(address, &format!("name{number}"), now);
        }
        guard.attempt(HERE, "ricoh", now);
        assert_eq!(
            guard.leave(HERE, &sign_in("ricoh", "x"), now),
            Leave::Paused,
            "it is still remembered"
        );
        assert!(guard.pairs.len() <= KEPT_MAX && guard.addresses.len() <= KEPT_MAX);
    }

    #[test]
    fn an_address_that_guesses_over_many_names_waits_and_one_old_password_does_not_make_it() {
        let mut guard = SignInThrottle::default();
        let now = Clock.now();
        for _ in 0..1000 {
            guard.attempt(HERE, "old", now);
        }
        assert_eq!(guard.leave(HERE, &sign_in("new", "x"), now), Leave::Granted);
        for number in 0..FREE_GUESSES_OF_ADDRESS {
            guard.attempt(HERE, &format!("name{number}"), now);
        }
        assert_eq!(guard.leave(HERE, &sign_in("new", "x"), now), Leave::Paused);
        assert_eq!(
            guard.leave(THERE, &sign_in("new", "x"), now),
            Leave::Granted
        );
    }

    #[test]
    fn a_pair_that_was_right_is_paused_by_nobody_and_its_guesser_is() {
        let mut guard = SignInThrottle::default();
        let now = Clock.now();
        let right = sign_in("ricoh", "right");
        guard.attempt(HERE, "ricoh", now);
        guard.succeeded(HERE, &right, now);
        for number in 0..200 {
            guard.attempt(HERE, "ricoh", now);
            guard.attempt(HERE, &format!("name{number}"), now);
        }
        for _ in 0..3 {
            assert_eq!(guard.leave(HERE, &right, now), Leave::Granted);
            guard.attempt(HERE, "ricoh", now);
            guard.succeeded(HERE, &right, now);
            assert_eq!(
                guard.leave(HERE, &sign_in("ricoh", "x"), now),
                Leave::PausedSlowly
            );
        }
        assert_eq!(
            guard.leave(HERE, &sign_in("canon", "x"), now),
            Leave::Paused
        );
    }

    #[test]
    fn a_network_of_ipv6_waits_for_all_its_guesses_over_many_names() {
        let mut guard = SignInThrottle::default();
        let now = Clock.now();
        let address = |network: u16, host: u32| -> IpAddr {
            [0x2001, 0xdb8, 0, network, 0, 0, 0, host as u16].into()
        };
        for number in 0..=FREE_GUESSES_OF_ADDRESS {
            guard.attempt(address(1, number), &format!("name{number}"), now);
        }
        let leave = |network| guard.leave(address(network, 999), &sign_in("new", "x"), now);
        assert_eq!(leave(1), Leave::Paused);
        assert_eq!(leave(2), Leave::Granted);
    }

    #[test]
    fn what_was_right_counts_for_no_address() {
        let mut guard = SignInThrottle::default();
        let now = Clock.now();
        // A site full of devices that sign in for each message.
        for number in 0..FREE_GUESSES_OF_ADDRESS * 3 {
            let name = format!("device{number}");
            guard.attempt(HERE, &name, now);
            guard.succeeded(HERE, &sign_in(&name, "right"), now);
        }
        assert_eq!(guard.leave(HERE, &sign_in("new", "x"), now), Leave::Granted);
    }

    #[test]
    fn another_password_of_a_pair_that_was_right_waits_for_itself_alone() {
        let mut guard = SignInThrottle::default();
        let now = Clock.now();
        guard.attempt(HERE, "ricoh", now);
        guard.succeeded(HERE, &sign_in("ricoh", "old"), now);
        for number in 0..200 {
            guard.attempt(HERE, &format!("name{number}"), now);
        }
        assert_eq!(
            guard.leave(HERE, &sign_in("canon", "x"), now),
            Leave::Paused
        );
        // Its password was changed: somebody else's guesses at this address are not its.
        assert_eq!(
            guard.leave(HERE, &sign_in("ricoh", "new"), now),
            Leave::Granted
        );
    }
}
