//! Who is connected: a bounded number of clients, in all and per address.
//!
//! A tenth of the places is for addresses that the settings name. Where all are taken, the connection goes that is there
//! longest without an accepted MAIL: whoever has mail shows it soon. A stranger only ever takes a stranger's place.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::mail::{Reply, neighbourhood, reply};

#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    most_per_address: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    /// In the order of their coming.
    guests: BTreeMap<u64, Arc<Guest>>,
    came: u64,
    strangers: usize,
    by_address: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Guest {
    counted_as: IpAddr,
    named: bool,
    has_mail: AtomicBool,
    made_room: CancellationToken,
}

impl Guest {
    fn is_idle(&self) -> bool {
        !self.has_mail.load(Ordering::Acquire)
    }
}

impl Places {
    pub(super) fn new(most: usize, most_per_address: usize) -> Self {
        Self {
            most,
            most_per_address,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a client from this address, which the settings name or not.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr, named: bool) -> Result<Place, Reply> {
        let counted_as = if named {
            address
        } else {
            neighbourhood(address)
        };
        let mut taken = self.taken();
        if taken.of(counted_as) >= self.most_per_address {
            return Err(reply::TOO_MANY_FROM_ADDRESS);
        }
        let for_strangers = self.most - self.most / 10;
        if taken.guests.len() >= self.most || (!named && taken.strangers >= for_strangers) {
            let oldest = taken.oldest_idle(false);
            let oldest = oldest.or_else(|| named.then(|| taken.oldest_idle(true)).flatten());
            let guest = oldest.and_then(|number| taken.leave(number));
            let guest = guest.ok_or(reply::TOO_MANY_CONNECTIONS)?;
            guest.made_room.cancel();
        }
        let guest = Arc::new(Guest {
            counted_as,
            named,
            has_mail: AtomicBool::new(false),
            made_room: CancellationToken::new(),
        });
        let number = taken.came;
        taken.came += 1;
        taken.strangers += usize::from(!named);
        *taken.by_address.entry(counted_as).or_insert(0) += 1;
        taken.guests.insert(number, Arc::clone(&guest));
        drop(taken);
        Ok(Place {
            places: Arc::clone(self),
            number,
            guest,
        })
    }
}

impl Taken {
    fn of(&self, address: IpAddr) -> usize {
        self.by_address.get(&address).copied().unwrap_or(0)
    }

    fn oldest_idle(&self, named: bool) -> Option<u64> {
        let mut all = self.guests.iter();
        let found = all.find(|(_, guest)| guest.named == named && guest.is_idle());
        found.map(|(number, _)| *number)
    }

    fn leave(&mut self, number: u64) -> Option<Arc<Guest>> {
        let guest = self.guests.remove(&number)?;
        self.strangers -= usize::from(!guest.named);
        if let Some(count) = self.by_address.get_mut(&guest.counted_as) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&guest.counted_as);
            }
        }
        Some(guest)
    }
}

/// A place among the connections; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    guest: Arc<Guest>,
}

impl Place {
    /// The client's MAIL was accepted: nobody takes its place any more.
    pub(super) fn has_mail(&self) {
        self.guest.has_mail.store(true, Ordering::Release);
    }

    /// Waits until the place is somebody else's.
    pub(super) async fn made_room(&self) {
        self.guest.made_room.cancelled().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.places.taken().leave(self.number));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stranger(places: &Arc<Places>, last: u8) -> Result<Place, Reply> {
        places.admit(IpAddr::from([192, 0, 2, last]), false)
    }

    fn named(places: &Arc<Places>, last: u8) -> Result<Place, Reply> {
        places.admit(IpAddr::from([10, 0, 0, last]), true)
    }

    fn went(place: &Place) -> bool {
        place.guest.made_room.is_cancelled()
    }

    #[test]
    fn a_tenth_is_for_those_that_the_settings_name() {
        let places = Arc::new(Places::new(10, 10));
        let mut strangers: Vec<Place> = (0..9)
            .map(|n| stranger(&places, n).expect("a place"))
            .collect();
        // The tenth place is free, and not for a stranger: the oldest makes room.
        strangers.push(stranger(&places, 9).expect("a place"));
        assert!(went(&strangers[0]) && !went(&strangers[1]));
        let first = named(&places, 1).expect("the tenth place");
        assert!(!went(&strangers[1]));
        let second = named(&places, 2).expect("a stranger's place");
        assert!(went(&strangers[1]) && !went(&first) && !went(&second));
    }

    #[test]
    fn whoever_has_mail_keeps_its_place() {
        let places = Arc::new(Places::new(10, 10));
        let strangers: Vec<Place> = (0..9)
            .map(|n| stranger(&places, n).expect("a place"))
            .collect();
        strangers[0].has_mail();
        let _next = stranger(&places, 9).expect("a place");
        assert!(!went(&strangers[0]) && went(&strangers[1]));
        let places = Arc::new(Places::new(2, 10));
        let all = [named(&places, 1), named(&places, 2)].map(|place| place.expect("a place"));
        all.iter().for_each(Place::has_mail);
        assert_eq!(
            named(&places, 3).expect_err("no place"),
            reply::TOO_MANY_CONNECTIONS
        );
    }

    #[test]
    fn a_stranger_takes_only_a_strangers_place() {
        let places = Arc::new(Places::new(10, 10));
        let oldest = named(&places, 1).expect("a place");
        let _stranger = stranger(&places, 1).expect("a place");
        let all: Vec<Place> = (2..10)
            .map(|n| named(&places, n).expect("a place"))
            .collect();
        let _next = stranger(&places, 2).expect("the other stranger's place");
        assert!(!went(&oldest) && !all.iter().any(went));
        let _named = named(&places, 10).expect("the stranger's place first");
        assert!(!went(&oldest));
        assert_eq!(
            stranger(&places, 3).expect_err("only named ones are left"),
            reply::TOO_MANY_CONNECTIONS
        );
        let _named = named(&places, 11).expect("the oldest place");
        assert!(went(&oldest));
    }

    #[test]
    fn a_network_of_ipv6_is_one_stranger_and_a_named_address_is_itself() {
        let places = Arc::new(Places::new(100, 2));
        let address = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, host]);
        let all = [1, 2].map(|host| places.admit(address(host), false).expect("a place"));
        assert_eq!(
            places.admit(address(3), false).expect_err("one too many"),
            reply::TOO_MANY_FROM_ADDRESS
        );
        let _named = places.admit(address(3), true).expect("a place of its own");
        drop(all);
        let _next = places.admit(address(3), false).expect("given back");
    }
}
