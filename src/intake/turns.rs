//! Turns at argon2, which takes 19 MB and a processor: few at a time, few waiting of one address, none for whoever has gone.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::mail::neighbourhood;

#[derive(Debug)]
pub(super) struct Turns {
    turns: Semaphore,
    waiting: Mutex<HashMap<IpAddr, usize>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self {
            turns: Semaphore::new(AT_ONCE),
            waiting: Mutex::default(),
        }
    }
}

impl Turns {
    fn waiting(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in the queue; `None` where enough of this address wait.
    pub(super) fn queue(&self, address: IpAddr) -> Option<Queued<'_>> {
        let address = neighbourhood(address);
        let mut waiting = self.waiting();
        let count = waiting.entry(address).or_insert(0);
        if *count >= WAITING_MAX {
            return None;
        }
        *count += 1;
        drop(waiting);
        Some(Queued {
            turns: self,
            address,
        })
    }
}

/// Given back when dropped.
pub(super) struct Queued<'t> {
    turns: &'t Turns,
    address: IpAddr,
}

impl Queued<'_> {
    /// The turn; `None` where the client has gone before.
    pub(super) async fn turn(&self, gone: impl Future<Output = ()>) -> Option<SemaphorePermit<'_>> {
        tokio::select! {
            biased;
            turn = self.turns.turns.acquire() => turn.ok(),
            () = gone => None,
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut waiting = self.turns.waiting();
        if let Some(count) = waiting.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                waiting.remove(&self.address);
            }
        }
    }
}

const AT_ONCE: usize = 2;
/// Of one address, those whose turn it is included.
const WAITING_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn four_of_an_address_wait_and_whoever_goes_makes_room() {
        let turns = Turns::default();
        let (here, there) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let all = [(); 4].map(|()| turns.queue(here).expect("a place"));
        assert!(turns.queue(here).is_none() && turns.queue(there).is_some());
        {
            let _first = all[0].turn(std::future::pending()).await.expect("a turn");
            let _second = all[1].turn(std::future::pending()).await.expect("a turn");
            assert!(all[2].turn(std::future::ready(())).await.is_none(), "gone");
        }
        drop(all);
        assert!(turns.queue(here).is_some() && turns.waiting().is_empty());
    }
}
