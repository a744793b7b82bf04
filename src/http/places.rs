//! Who is connected to a door, and what each connection waits for.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

/// What a door bears.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Connections at once.
    pub connections: usize,
    /// From the first octet of a request's head to its end; from the connection to the end of the first head.
    pub head: Duration,
    /// Silence inside a request's body.
    pub body: Duration,
    /// Octets of a body.
    pub body_octets: u64,
    /// Octets per second that a body must average once `body` has passed.
    pub body_rate: u64,
    /// Silence between requests, and while an answer is taken. Longer than clients keep a connection in their pool.
    pub idle: Duration,
}

impl Bounds {
    /// For a door that few people and programs use.
    pub const DEFAULT: Self = Self {
        connections: 64,
        head: Duration::from_secs(10),
        body: Duration::from_secs(30),
        body_octets: 64 * 1024 * 1024,
        body_rate: 1000,
        idle: Duration::from_secs(75),
    };
}

/// One connection's waiting.
#[derive(Debug)]
pub(super) struct Wait {
    bounds: Bounds,
    clock: Clock,
    /// Cancelled when its place is somebody else's.
    pub(super) over: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Requests that are being answered.
    asked: usize,
    /// Whether there was one at all.
    any: bool,
    /// When it connected, was last answered, or took octets of an answer.
    since: Instant,
    /// When the first octet of the next head came.
    head: Option<Instant>,
    /// Octets between requests need not be a head.
    http2: bool,
}

impl Wait {
    pub(super) fn new(bounds: Bounds, clock: Clock) -> Self {
        Self {
            bounds,
            clock,
            over: CancellationToken::new(),
            state: Mutex::new(State {
                asked: 0,
                any: false,
                since: clock.now(),
                head: None,
                http2: false,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn speaks_http2(&self) {
        self.state().http2 = true;
    }

    /// Octets came.
    pub(super) fn heard(&self) {
        let now = self.clock.now();
        let mut state = self.state();
        if state.asked == 0 && !state.http2 {
            state.head.get_or_insert(now);
        }
    }

    /// Octets went.
    pub(super) fn taken(&self) {
        let now = self.clock.now();
        self.state().since = now;
    }

    /// A request has come; it is being answered until what is returned is dropped.
    pub(super) fn asked(self: &Arc<Self>) -> Asked {
        let mut state = self.state();
        state.asked += 1;
        state.any = true;
        state.head = None;
        drop(state);
        Asked(Arc::clone(self))
    }

    /// When the next octet, or the end of a head, must have come. Always ahead while a request is being answered.
    pub(super) fn deadline(&self) -> Instant {
        let now = self.clock.now();
        let state = self.state();
        match state.head {
            _ if state.asked > 0 => now + self.bounds.idle,
            _ if !state.any => state.since + self.bounds.head,
            Some(began) => began + self.bounds.head,
            None => state.since + self.bounds.idle,
        }
    }

    /// Since when nothing is asked; `None` while something is.
    fn silent_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.asked == 0).then_some(state.since)
    }
}

/// A request that is being answered.
#[derive(Debug)]
pub(super) struct Asked(Arc<Wait>);

impl Drop for Asked {
    fn drop(&mut self) {
        let now = self.0.clock.now();
        let mut state = self.0.state();
        state.asked -= 1;
        state.since = now;
    }
}

/// The places of a door.
#[derive(Debug)]
pub(super) struct Places {
    bounds: Bounds,
    clock: Clock,
    taken: Mutex<Vec<Arc<Wait>>>,
}

impl Places {
    pub(super) fn new(bounds: Bounds, clock: Clock) -> Self {
        Self {
            bounds,
            clock,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Vec<Arc<Wait>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place. Where all are taken, whoever has asked for nothing for the longest time makes room, so that whoever
    /// comes with a question is heard; `None` where all are being answered.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Place> {
        let mut taken = self.taken();
        if taken.len() >= self.bounds.connections {
            let silent = taken.iter().enumerate();
            let silent = silent.filter_map(|(index, wait)| Some((wait.silent_since()?, index)));
            let (_, index) = silent.min()?;
            taken.swap_remove(index).over.cancel();
        }
        let wait = Arc::new(Wait::new(self.bounds, self.clock));
        taken.push(Arc::clone(&wait));
        drop(taken);
        Some(Place {
            places: Arc::clone(self),
            wait,
        })
    }
}

/// Given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    pub(super) wait: Arc<Wait>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.retain(|other| !Arc::ptr_eq(other, &self.wait));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_no_more_connections_than_places() {
        let bounds = Bounds {
            connections: 2,
            ..Bounds::DEFAULT
        };
        let places = Arc::new(Places::new(bounds, Clock));
        let [first, second, third] = [(); 3].map(|()| places.admit().expect("a place"));
        assert!(first.wait.over.is_cancelled(), "the longest silent");
        assert!(!second.wait.over.is_cancelled());
        let _asked = [second.wait.asked(), third.wait.asked()];
        assert!(places.admit().is_none(), "both are being answered");
        drop(second);
        assert!(places.admit().is_some(), "its place is given back");
    }
}
