//! Leases what is due and keeps a bounded number of attempts under way.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::{self, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::clock::{Clock, Timestamp};
use crate::config::Secret;
use crate::journal::Journal;
use crate::mail::Diagnostic;
use crate::provider::Provider;
use crate::resilience::{
    AccountSignal, Backoff, Breaker, BreakerSettings, ConcurrencyLimit, Notice, Permit, RateLimiter,
};
use crate::rules::Rules;
use crate::spool::{LeaseRequest, Leased, Spool, Work};

use super::attempt::{Attempted, attempt};
use super::confirm::confirm_in_doubt;
use super::own_refusals::OwnRefusals;
use super::probe::{Probed, probe};
use super::trying::TryingClock;

/// How one account's mail is handed on.
#[derive(Clone, Debug)]
pub struct ForwardSettings {
    /// The account's name.
    pub account: String,
    /// Attempts at once.
    pub concurrency: usize,
    /// Waits between attempts.
    pub backoff: Backoff,
    /// Age at which a message bounces.
    pub give_up_after: Duration,
    /// When an unanswered attempt is settled.
    pub confirm_after: Duration,
    /// How often a halted account is tried.
    pub probe_interval: Duration,
    /// What to do about an unanswered attempt.
    pub unknown: Unknown,
    /// How long attempts under way may take when the gateway stops.
    pub drain_max: Duration,
}

/// What to do about an attempt without an answer, once `confirm_after` has passed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Unknown {
    /// Send again, marked.
    Repeat,
    /// Leave it to the operator.
    Hold,
}

/// What the attempts of one account share.
#[derive(Clone, Debug)]
pub(super) struct Shared {
    pub(super) spool: Spool,
    pub(super) provider: Provider,
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    pub(super) settings: ForwardSettings,
    /// Notified when a dispatch becomes in doubt.
    pub(super) in_doubt_added: Arc<Notify>,
    /// Notified when the key has changed, or mail in doubt is due like any other.
    pub(super) woken: Arc<Notify>,
    breaker: Arc<Mutex<Breaker>>,
    trying: Arc<Mutex<TryingClock>>,
    own_refusals: Arc<Mutex<OwnRefusals>>,
    window: Arc<Mutex<ConcurrencyLimit>>,
    /// Where the limits of users stand.
    rules: watch::Receiver<Arc<Rules>>,
}

impl Shared {
    /// Whether the account may send now.
    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long mail has been tried, up to now.
    pub(super) fn trying(&self) -> MutexGuard<'_, TryingClock> {
        let free = self.breaker().is_trying();
        let mut trying = self.trying.lock().unwrap_or_else(PoisonError::into_inner);
        trying.observe(free, self.clock.now());
        trying
    }

    pub(super) fn own_refusals(&self) -> MutexGuard<'_, OwnRefusals> {
        self.own_refusals
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn window(&self) -> MutexGuard<'_, ConcurrencyLimit> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what an attempt says about the account; `under_way` are the others.
    pub(super) fn note(&self, attempted: Attempted, under_way: usize) {
        self.window().note(attempted.account, under_way);
        self.heed(attempted.account, &attempted.diagnostic);
    }

    pub(super) fn heed(&self, effect: AccountSignal, diagnostic: &Diagnostic) {
        let account = &self.settings.account;
        let notice = self.breaker().note(effect, diagnostic, self.clock.now());
        match notice {
            Some(Notice::Halted(why, wait)) => self.journal.account_halted(account, &why, wait),
            Some(Notice::Paused(cause, why, pause)) => {
                self.journal
                    .account_paused(account, cause.word(), &why, pause);
            }
            Some(Notice::Resumed) => {
                self.journal.account_resumed(account);
                self.in_doubt_added.notify_one();
            }
            None => {}
        }
    }

    /// For jitter; predictable numbers would do no harm.
    pub(super) fn random(&self) -> u32 {
        let mut octets = [0; 4];
        match aws_lc_rs::rand::fill(&mut octets) {
            Ok(()) => u32::from_ne_bytes(octets),
            Err(_) => u32::MAX / 2,
        }
    }
}

/// Hands on one account's mail until it is told to stop.
#[derive(Debug)]
pub struct Forwarder {
    shared: Shared,
}

impl Forwarder {
    /// A forwarder that has not begun.
    pub fn new(
        spool: Spool,
        provider: Provider,
        journal: Journal,
        clock: Clock,
        rules: watch::Receiver<Arc<Rules>>,
        settings: ForwardSettings,
    ) -> Self {
        let breaker = Breaker::new(BreakerSettings {
            probe_interval: settings.probe_interval,
            trouble_first: settings.backoff.first.min(TROUBLE_FIRST),
            trouble_max: settings.backoff.max.min(TROUBLE_MAX),
        });
        let wait_max = settings.backoff.max.max(settings.confirm_after) * 2;
        let window = ConcurrencyLimit::new(settings.concurrency);
        Self {
            shared: Shared {
                spool,
                provider,
                journal,
                clock,
                settings,
                in_doubt_added: Arc::new(Notify::new()),
                woken: Arc::new(Notify::new()),
                breaker: Arc::new(Mutex::new(breaker)),
                own_refusals: Arc::default(),
                trying: Arc::new(Mutex::new(TryingClock::new(new_run(), wait_max))),
                window: Arc::new(Mutex::new(window)),
                rules,
            },
        }
    }

    /// What changes the key while it works.
    pub fn keyed(&self) -> KeyHandle {
        KeyHandle(self.shared.clone())
    }

    /// Works until `stop`, then lets attempts under way finish for at most `drain_max`.
    pub async fn run(self, stop: CancellationToken) {
        let mut arrivals = self.shared.spool.arrivals();
        let mut attempts: JoinSet<Ended> = JoinSet::new();
        // Leased, and waiting for a place: one request to the spool serves many attempts.
        let mut ready: VecDeque<Leased> = VecDeque::new();
        let mut lanes: HashMap<task::Id, String> = HashMap::new();
        let mut others_at = self.shared.clock.now();
        let mut limited = RateLimited::default();
        let mut rules = self.shared.rules.clone();
        let doubts = tokio::spawn(confirm_in_doubt(self.shared.clone(), stop.clone()));
        while !stop.is_cancelled() {
            arrivals.mark_unchanged();
            drop(self.shared.trying());
            let wake_at = self
                .start_due(
                    &mut attempts,
                    &mut ready,
                    &mut lanes,
                    &mut others_at,
                    &mut limited,
                )
                .await;
            let busy = attempts.len() >= self.room();
            tokio::select! {
                () = stop.cancelled() => break,
                Some(ended) = attempts.join_next_with_id() => {
                    self.ended(ended, attempts.len(), &mut lanes, &mut limited);
                    while let Some(ended) = attempts.try_join_next_with_id() {
                        self.ended(ended, attempts.len(), &mut lanes, &mut limited);
                    }
                }
                // A limit may have ended: who waits for it is looked at again.
                Ok(()) = rules.changed() => limited.until.clear(),
                // With all slots taken nothing new could be started.
                () = self.shared.woken.notified() => {}
                changed = arrivals.changed(), if !busy => if changed.is_err() { break },
                () = sleep_until(wake_at) => {}
            }
        }
        let drained = tokio::time::timeout(self.shared.settings.drain_max, async {
            while let Some(ended) = attempts.join_next_with_id().await {
                self.ended(ended, attempts.len(), &mut lanes, &mut limited);
            }
            drop(doubts.await);
        });
        if drained.await.is_err() {
            let left = attempts.len();
            tracing::warn!(left, "attempts cut off by the stop, they will be in doubt");
        }
    }

    /// Starts as many attempts as there is room for; returns when to look again.
    async fn start_due(
        &self,
        attempts: &mut JoinSet<Ended>,
        ready: &mut VecDeque<Leased>,
        lanes: &mut HashMap<task::Id, String>,
        others_at: &mut std::time::Instant,
        limited: &mut RateLimited,
    ) -> Instant {
        let now = self.shared.clock.now();
        let mut look_again = Instant::from_std(now + IDLE_MAX);
        let permit = self.shared.breaker().permit(now);
        if permit != Permit::Full {
            // When mail flows again, somebody else's turn may have come.
            for leased in ready.drain(..) {
                self.shared.spool.release(&leased).await;
            }
        }
        match permit {
            Permit::Full | Permit::One => {}
            Permit::Wait(until) => return look_again.min(Instant::from_std(until)),
            Permit::Probe => {
                if attempts.is_empty() {
                    let provider = self.shared.provider.clone();
                    attempts.spawn(async move {
                        let key_generation = provider.key_generation();
                        Ended::Probe(probe(&provider).await, key_generation)
                    });
                }
                return look_again;
            }
        }
        let mut next_due = None;
        let room = self.room();
        let full = || filled_by(lanes, attempts.len(), room);
        let waiting = |ready: &VecDeque<Leased>| match full() {
            Some(lane) => ready.iter().any(|leased| leased.lane != lane),
            None => !ready.is_empty(),
        };
        let except = full().map(str::to_owned);
        // Asked at most so often, and only when something has happened.
        let too_soon = except.is_some() && now < *others_at;
        if attempts.len() < room && !waiting(ready) && !too_soon {
            if except.is_some() {
                *others_at = now + OTHERS_INTERVAL;
            }
            let request = LeaseRequest {
                account: self.shared.settings.account.clone(),
                work: Work::Mail,
                limit: match permit {
                    Permit::Full => room * LEASES_PER_PLACE,
                    _ => 1,
                },
                except: except.into_iter().chain(limited.waiting(now)).collect(),
            };
            match self.shared.spool.lease(request).await {
                Ok((leased, due)) => {
                    ready.extend(leased);
                    next_due = due;
                }
                Err(error) => {
                    self.shared.journal.spool_failed("leasing due mail", &error);
                    return Instant::from_std(now + SPOOL_RETRY);
                }
            }
        }
        while attempts.len() < room {
            let next = match filled_by(lanes, attempts.len(), room) {
                Some(lane) => ready.iter().position(|leased| leased.lane != lane),
                None => (!ready.is_empty()).then_some(0),
            };
            let Some(leased) = next.and_then(|next| ready.remove(next)) else {
                break;
            };
            let over = self.over_its_limit(&leased.lane, limited, now);
            if over {
                self.shared.spool.release(&leased).await;
                continue;
            }
            let (shared, lane) = (self.shared.clone(), leased.lane.clone());
            let task =
                attempts.spawn(async move { Ended::Attempt(attempt(&shared, leased).await) });
            lanes.insert(task.id(), lane);
        }
        if too_soon {
            look_again = look_again.min(Instant::from_std(*others_at));
        }
        if let Some(first) = limited.first(now) {
            look_again = look_again.min(Instant::from_std(first));
        }
        match next_due {
            Some(due) => look_again.min(Instant::from_std(now + self.until(due))),
            None => look_again,
        }
    }

    /// Whether this lane's mail must wait for its user's limit; if not, one mail is counted.
    fn over_its_limit(
        &self,
        lane: &str,
        limited: &mut RateLimited,
        now: std::time::Instant,
    ) -> bool {
        if limited.until.get(lane).is_some_and(|until| *until > now) {
            return true;
        }
        let limit = {
            let rules = self.shared.rules.borrow();
            rules.limit_of_lane(&self.shared.settings.account, lane)
        };
        let Some((owner, limit)) = limit else {
            return false;
        };
        match limited.pace.take(owner, limit, now) {
            None => false,
            Some(until) => {
                self.shared
                    .journal
                    .rate_limited(&self.shared.settings.account, lane, until - now);
                limited.until.insert(lane.to_owned(), until);
                true
            }
        }
    }

    fn give_back(&self, lane: &str, limited: &mut RateLimited) {
        let limit = {
            let rules = self.shared.rules.borrow();
            rules.limit_of_lane(&self.shared.settings.account, lane)
        };
        if let Some((owner, _)) = limit {
            limited.pace.give_back(&owner);
            // Others of the same user may go, too.
            limited.until.clear();
        }
    }

    fn room(&self) -> usize {
        match self.shared.breaker().permit(self.shared.clock.now()) {
            Permit::Full => self.shared.window().size(),
            Permit::One => 1,
            Permit::Wait(_) | Permit::Probe => 0,
        }
    }

    fn until(&self, due: Timestamp) -> Duration {
        due.since(self.shared.clock.wall())
    }

    fn ended(
        &self,
        ended: Result<(task::Id, Ended), task::JoinError>,
        under_way: usize,
        lanes: &mut HashMap<task::Id, String>,
        limited: &mut RateLimited,
    ) {
        let (ended, lane) = match ended {
            Ok((id, ended)) => (ended, lanes.remove(&id)),
            Err(error) => {
                lanes.remove(&error.id());
                // Its lease will expire and leave a doubt.
                tracing::error!(%error, "an attempt ended without settling");
                return;
            }
        };
        let sent = matches!(&ended, Ended::Attempt(Some(attempted)) if attempted.sent);
        if let (Some(lane), false) = (&lane, sent) {
            // What has not left does not count against its user's limit.
            self.give_back(lane, limited);
        }
        match ended {
            Ended::Attempt(Some(attempted)) => self.shared.note(attempted, under_way),
            Ended::Attempt(None) => {}
            // Of a key that is not in use any more: the next one is probed at once.
            Ended::Probe(_, number) if number != self.shared.provider.key_generation() => {}
            Ended::Probe(Probed::Works | Probed::Unclear, _) => {
                self.shared.breaker().key_works(self.shared.clock.now());
                self.shared.journal.key_works(&self.shared.settings.account);
                self.shared.in_doubt_added.notify_one();
            }
            Ended::Probe(Probed::Refused(effect, why), _) => self.shared.heed(effect, &why),
        }
    }
}

/// Lanes whose users have sent what they may for now.
#[derive(Debug, Default)]
struct RateLimited {
    pace: RateLimiter,
    until: HashMap<String, std::time::Instant>,
}

impl RateLimited {
    /// The lanes that wait.
    fn waiting(&mut self, now: std::time::Instant) -> Vec<String> {
        self.until.retain(|_, until| *until > now);
        self.until.keys().cloned().collect()
    }

    /// When the first of them need not wait any more.
    fn first(&self, now: std::time::Instant) -> Option<std::time::Instant> {
        let waiting = self.until.values().filter(|until| **until > now);
        waiting.min().copied()
    }
}

/// The lane that has all places but the last one, which is kept for the others: a burst of large mail on a slow
/// line must not hold up somebody's alarm until one of them is through.
fn filled_by(lanes: &HashMap<task::Id, String>, under_way: usize, room: usize) -> Option<&str> {
    let first = lanes.values().next()?;
    let alone = room > 1 && under_way + 1 >= room && lanes.values().all(|lane| lane == first);
    alone.then_some(first.as_str())
}

/// An account's key, to be changed while mail is being handed on.
#[derive(Clone, Debug)]
pub struct KeyHandle(Shared);

impl KeyHandle {
    /// From the next call on; a halted account is probed at once.
    pub fn change_key(&self, key: Secret<String>) {
        if self.0.provider.change_key(key) {
            self.0.breaker().key_changed(self.0.clock.now());
            self.0.woken.notify_one();
            self.0.in_doubt_added.notify_one();
        }
    }
}

/// What a task of the forwarder leaves behind.
enum Ended {
    Attempt(Option<Attempted>),
    /// And which key it was asked with.
    Probe(Probed, u64),
}

/// A number that no other run has: marks of another run say nothing in this one.
fn new_run() -> i64 {
    let mut octets = [0; 8];
    match aws_lc_rs::rand::fill(&mut octets) {
        Ok(()) => i64::from_ne_bytes(octets),
        Err(_) => Clock.wall().0,
    }
}

/// How long a breaker stays open after troubles, unless retries are quicker: short, because most
/// outages are; the longest is short, too, because new mail waits behind it.
const TROUBLE_FIRST: Duration = Duration::from_secs(1);
const TROUBLE_MAX: Duration = Duration::from_secs(60);
/// Leased per request: enough that asking is rare, few enough that an order of mail is kept.
const LEASES_PER_PLACE: usize = 4;
/// Something is looked at this often even if nobody woke us: a clock may have jumped.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// How often it is asked whether somebody else has mail, while one device has all places but the last.
const OTHERS_INTERVAL: Duration = Duration::from_millis(20);
/// After the spool could not be read.
const SPOOL_RETRY: Duration = Duration::from_secs(1);
