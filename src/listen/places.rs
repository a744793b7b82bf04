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
