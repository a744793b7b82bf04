//! The front door of the spool, and the one thread behind it.
//!
//! Requests queue up while a batch is being synced and form the next batch: the more load, the
//! fewer syncs per message. Leases live here, in memory: a crash drops them, which is right because
//! nothing was sent yet.

use std::collections::HashMap;
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock::{Clock, Timestamp};
use crate::mail::{Diagnostic, DispatchId, SpoolId};

use super::fair_share::FairScheduler;
use super::record::{
    Attempt, DispatchKey, Finding, Leased, MessageKey, MessageRecord, OperatorAction, QueueRow,
    Settlement, State, Submission,
};
use super::store::{Counts, DiskUse, RulesPart, SpoolError, Store, account_lane, lane_of};
use super::time::SpoolTime;

/// How the spool behaves.
#[derive(Clone, Copy, Debug)]
pub struct SpoolSettings {
    /// How long a worker may hold a dispatch, in flight or not.
    pub lease_ttl: Duration,
    /// How long after an interrupted attempt its doubt is settled.
    pub confirm_after: Duration,
    /// The longest wait that anything is ever given: what is due later was stored by a wrong clock.
    pub wait_max: Duration,
    /// Requests that may share one sync.
    pub batch_max: usize,
    /// Octets from which on the oldest traces go before their time, so that history never keeps mail out.
    pub history_from: u64,
}

impl Default for SpoolSettings {
    fn default() -> Self {
        Self {
            // Longer than the longest attempt: 50 MB on a slow line.
            lease_ttl: Duration::from_secs(3600),
            confirm_after: Duration::from_secs(90),
            wait_max: Duration::from_secs(86_400),
            // The largest that was measured (measurements 2).
            batch_max: 256,
            history_from: u64::MAX,
        }
    }
}

/// What a forwarder asks for.
#[derive(Clone, Debug)]
pub struct LeaseRequest {
    /// Only this account's dispatches.
    pub account: String,
    /// Mail to send, or doubts to settle.
    pub work: Work,
    /// At most so many.
    pub limit: usize,
    /// But nothing of these lanes.
    pub except: Vec<String>,
}

/// The two kinds of work there are for a forwarder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Work {
    /// Queued dispatches.
    Mail,
    /// Dispatches in doubt.
    InDoubt,
}

impl Work {
    fn state(self) -> State {
        match self {
            Self::Mail => State::Queued,
            Self::InDoubt => State::InDoubt,
        }
    }
}

/// Handle to the spool; cheap to clone.
#[derive(Clone)]
pub struct Spool {
    requests: mpsc::Sender<Request>,
    next_key: Arc<AtomicI64>,
    arrivals: watch::Receiver<u64>,
    doubts: watch::Receiver<u64>,
    counts: Arc<Mutex<Counts>>,
    disk: Arc<Mutex<DiskUse>>,
    written: Arc<AtomicU64>,
    discards: Arc<Mutex<Vec<MessageKey>>>,
    lanes: Arc<Mutex<HashMap<String, u64>>>,
}

impl fmt::Debug for Spool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spool").finish_non_exhaustive()
    }
}

impl Spool {
    /// Takes over `store`: settles what a crash left behind, then starts the thread.
    ///
    /// # Errors
    /// When the store can't be read or written.
    pub fn start(
        mut store: Box<dyn Store>,
        settings: SpoolSettings,
        clock: Clock,
    ) -> Result<Self, SpoolError> {
        let wall = clock.wall();
        let seen = store.seen()?;
        let time = SpoolTime::new(wall, clock.now(), seen);
        // What it was ahead by before was told before.
        let back = time.ahead_ms() - seen.map_or(0, |seen| seen.ahead_ms);
        let next_key = store.last_key()?.0 + 1;
        let (requests, queue) = mpsc::channel(QUEUE_MAX);
        let (arrived, arrivals) = watch::channel(0);
        let (doubted, doubts) = watch::channel(0);
        let counts = Arc::<Mutex<Counts>>::default();
        let disk = Arc::new(Mutex::new(store.disk_use()?));
        let discards = Arc::<Mutex<Vec<MessageKey>>>::default();
        let lanes = Arc::<Mutex<HashMap<String, u64>>>::default();
        let mut writer = Writer {
            store,
            settings,
            clock,
            queue,
            arrived,
            doubted,
            counts: Arc::clone(&counts),
            disk: Arc::clone(&disk),
            discards: Arc::clone(&discards),
            unrecovered: None,
            inserted_at: clock.now(),
            seen_noted: time.now(),
            time,
            leases: HashMap::new(),
            in_flight: HashMap::new(),
            unreadable: HashMap::new(),
            fair_share: FairScheduler::default(),
            lanes: Arc::clone(&lanes),
        };
        match writer.recover(back) {
            // Attempts that were cut off stay in flight, which nobody leases, until there is room to say so.
            Err(SpoolError::Full(_)) => {
                tracing::error!("the spool's disk is full: free some of it; nothing is lost");
                writer.unrecovered = Some(back);
            }
            recovered => recovered?,
        }
        writer.publish_counts();
        writer.publish_use();
        thread::Builder::new()
            .name("spool".to_owned())
            .spawn(move || writer.run())
            .map_err(|error| SpoolError::Unwritable(Box::new(error)))?;
        Ok(Self {
            requests,
            next_key: Arc::new(AtomicI64::new(next_key)),
            arrivals,
            doubts,
            counts,
            disk,
            written: Arc::default(),
            discards,
            lanes,
        })
    }

    /// The key of a message to come.
    pub(super) fn next_key(&self) -> MessageKey {
        MessageKey(self.next_key.fetch_add(1, Ordering::Relaxed))
    }

    /// Takes due dispatches out of the queue for one lease time; where there are none, also says when the
    /// next one is due.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn lease(
        &self,
        request: LeaseRequest,
    ) -> Result<(Vec<Leased>, Option<Timestamp>), SpoolError> {
        self.ask(|reply| Request::Lease(request, reply)).await
    }

    /// Makes durable that a request is about to leave. Only then may it leave.
    ///
    /// # Errors
    /// When it is not durable, or the dispatch is no longer leased.
    pub async fn begin_attempt(&self, attempt: Attempt) -> Result<(), SpoolError> {
        self.write(Write::Begin(attempt)).await
    }

    /// Records how an attempt ended.
    ///
    /// # Errors
    /// When it is not durable, or the dispatch is no longer in flight.
    pub async fn settle(
        &self,
        attempt: Attempt,
        settlement: impl Into<Settlement>,
    ) -> Result<(), SpoolError> {
        self.write(Write::Settle(attempt, settlement.into())).await
    }

    /// Records what the provider knows about a leased doubt.
    ///
    /// # Errors
    /// When that is not durable, or somebody else acted meanwhile.
    pub async fn resolve(&self, leased: &Leased, finding: Finding) -> Result<(), SpoolError> {
        self.write(Write::Resolve(leased.key, finding)).await
    }

    /// Carries out an operator's order on all open dispatches of a message; returns how many it
    /// applied to.
    ///
    /// # Errors
    /// When it is not durable.
    pub async fn order(&self, id: SpoolId, order: OperatorAction) -> Result<u32, SpoolError> {
        self.ask(|reply| Request::OperatorAction(id, order, reply))
            .await
    }

    /// The stored message: what stands before the body, and a reader for the body's chunks; `None`
    /// when the content is gone, because every dispatch is settled.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn stored(&self, id: SpoolId) -> Result<Option<Stored>, SpoolError> {
        let found = self.ask(|reply| Request::Stored(id, reply)).await?;
        Ok(found.map(|(head, key, chunks)| Stored {
            head,
            spool: self.clone(),
            key,
            chunks,
            next: 0,
        }))
    }

    /// Leaves a leased dispatch to the operator.
    ///
    /// # Errors
    /// When that is not durable, or somebody else acted meanwhile.
    pub async fn hold(&self, leased: &Leased, why: Diagnostic) -> Result<(), SpoolError> {
        self.write(Write::Hold(leased.key, why)).await
    }

    /// Gives a lease back unused.
    pub async fn release(&self, leased: &Leased) {
        let key = leased.key;
        if self.requests.send(Request::Release(key)).await.is_err() {
            tracing::debug!("spool stopped before a lease was given back");
        }
    }

    /// One chunk of a stored body.
    ///
    /// # Errors
    /// When it can't be read.
    pub async fn chunk(&self, leased: &Leased, sequence: u32) -> Result<Bytes, SpoolError> {
        let key = leased.key.message();
        self.ask(|reply| Request::Chunk(key, sequence, reply)).await
    }

    /// The newest messages first, below `before`; only unsettled ones unless `all`.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn list(
        &self,
        all: bool,
        before: Option<SpoolId>,
        limit: u32,
    ) -> Result<Vec<QueueRow>, SpoolError> {
        self.ask(|reply| Request::List(all, before, limit, reply))
            .await
    }

    /// Everything about one message; `None` when it is not stored.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn show(&self, id: SpoolId) -> Result<Option<MessageRecord>, SpoolError> {
        self.ask(|reply| Request::Show(id, reply)).await
    }

    /// When the oldest unsettled message was accepted.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn oldest_unsettled(&self) -> Result<Option<Timestamp>, SpoolError> {
        self.ask(Request::Oldest).await
    }

    /// Deletes messages that were settled so long ago, a batch of them; returns how many. What only a change of the
    /// clock of the last day made so old stays.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn forget_settled(&self, age: Duration) -> Result<u32, SpoolError> {
        self.ask(|reply| Request::Forget(age, reply)).await
    }

    /// The accounts with unsettled dispatches, and how many.
    ///
    /// # Errors
    /// When the store can't be read.
    pub async fn open_accounts(&self) -> Result<Vec<(String, u64)>, SpoolError> {
        self.ask(Request::Accounts).await
    }

    /// Closes the store, so that all of it lies in one file; everything asked later fails.
    pub async fn close(&self) {
        if self.ask(Request::Close).await.is_err() {
            tracing::debug!("spool was closed before");
        }
    }

    /// Shows that the store can be written, by writing.
    ///
    /// # Errors
    /// When it can't.
    pub async fn probe(&self) -> Result<(), SpoolError> {
        self.write(Write::Probe).await
    }

    /// Stores parts of one section of an account's rules. With `keep`, its parts go whose number is neither 0 nor
    /// one of these.
    ///
    /// # Errors
    /// When they are not durable.
    pub async fn put_rules(
        &self,
        account: &str,
        parts: Vec<RulesPart>,
        keep: Option<RangeInclusive<u32>>,
    ) -> Result<(), SpoolError> {
        let account = account.to_owned();
        self.write(Write::Rules(account, parts, keep)).await
    }

    /// All stored parts of an account's rules, by section and number.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn rules(&self, account: &str) -> Result<Vec<RulesPart>, SpoolError> {
        let account = account.to_owned();
        self.ask(|reply| Request::Rules(account, reply)).await
    }

    /// Keeps the record of a refusal, as far as there is time for it: nobody waits for that.
    pub fn note_refusal(&self, record: String) {
        if self.requests.try_send(Request::Refusal(record)).is_err() {
            tracing::debug!("the spool is busy or stopped, a refusal is only in the log");
        }
    }

    /// The newest refusals first.
    ///
    /// # Errors
    /// When they can't be read.
    pub async fn refusals(&self, limit: u32) -> Result<Vec<String>, SpoolError> {
        self.ask(|reply| Request::Refusals(limit, reply)).await
    }

    /// How many dispatches stand where.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octets in use; what is free for reuse does not count.
    pub fn used_octets(&self) -> u64 {
        self.disk_use().used
    }

    /// What the store takes of its disk, and will take.
    pub fn disk_use(&self) -> DiskUse {
        *self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Octets of content handed to the store so far; only differences mean something.
    pub(super) fn written_octets(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Gives back what is not needed of the disk, a piece at a time; returns whether there is more to give.
    ///
    /// # Errors
    /// When the store can't be written.
    pub async fn tidy(&self) -> Result<bool, SpoolError> {
        self.ask(Request::Tidy).await
    }

    /// Octets that wait of one device, SMTP user, or address of a client that is neither.
    pub fn lane_octets(&self, account: &str, lane: &str) -> u64 {
        self.counted(&lane_of(account, lane))
    }

    fn counted(&self, lane: &str) -> u64 {
        let lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        lanes.get(lane).copied().unwrap_or(0)
    }

    /// Octets that wait of a whole account.
    pub fn account_octets(&self, account: &str) -> u64 {
        self.counted(&account_lane(account))
    }

    /// Changes whenever there may be something new to lease.
    pub fn arrivals(&self) -> watch::Receiver<u64> {
        self.arrivals.clone()
    }

    /// Changes whenever a doubt may be due earlier than was said.
    pub fn doubts(&self) -> watch::Receiver<u64> {
        self.doubts.clone()
    }

    pub(super) async fn append_draft(
        &self,
        key: MessageKey,
        sequence: u32,
        octets: Bytes,
    ) -> Result<(), SpoolError> {
        let length = octets.len() as u64;
        self.written.fetch_add(length, Ordering::Relaxed);
        self.write(Write::Append(key, sequence, octets)).await
    }

    pub(super) async fn insert(
        &self,
        key: MessageKey,
        submission: Submission,
        chunks: u32,
        octets: u64,
        rest: Bytes,
    ) -> Result<(), SpoolError> {
        let length = rest.len() + submission.head.len() + submission.prefix.len();
        self.written.fetch_add(length as u64, Ordering::Relaxed);
        let insert = Insert {
            key,
            submission,
            chunks,
            octets,
            rest,
        };
        self.write(Write::Insert(Box::new(insert))).await
    }

    pub(super) fn discard(&self, key: MessageKey) {
        if self.requests.try_send(Request::Discard(key)).is_err() {
            // The writer is busy: it looks here with its next batch.
            let mut discards = self.discards.lock().unwrap_or_else(PoisonError::into_inner);
            discards.push(key);
        }
    }

    async fn write(&self, write: Write) -> Result<(), SpoolError> {
        self.ask(|reply| Request::Write(write, reply)).await
    }

    async fn ask<T>(&self, request: impl FnOnce(Answer<T>) -> Request) -> Result<T, SpoolError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(request(reply))
            .await
            .map_err(|_| SpoolError::Stopped)?;
        answer.await.map_err(|_| SpoolError::Stopped)?
    }
}

/// A stored message, to be read piece by piece.
#[derive(Debug)]
pub struct Stored {
    /// Trace headers and header block.
    pub head: Bytes,
    spool: Spool,
    key: MessageKey,
    chunks: u32,
    next: u32,
}

impl Stored {
    /// The next piece of the body; `None` at its end.
    ///
    /// # Errors
    /// When it can't be read, or has been settled meanwhile.
    pub async fn next_chunk(&mut self) -> Result<Option<Bytes>, SpoolError> {
        if self.next == self.chunks {
            return Ok(None);
        }
        let (key, sequence) = (self.key, self.next);
        self.next += 1;
        let chunk = self.spool.ask(|reply| Request::Chunk(key, sequence, reply));
        chunk.await.map(Some)
    }
}

/// Where an answer goes.
pub(super) type Answer<T> = oneshot::Sender<Result<T, SpoolError>>;

pub(super) enum Request {
    Write(Write, Answer<()>),
    Discard(MessageKey),
    Release(DispatchKey),
    Lease(LeaseRequest, Answer<(Vec<Leased>, Option<Timestamp>)>),
    Chunk(MessageKey, u32, Answer<Bytes>),
    List(bool, Option<SpoolId>, u32, Answer<Vec<QueueRow>>),
    Show(SpoolId, Answer<Option<MessageRecord>>),
    Oldest(Answer<Option<Timestamp>>),
    Forget(Duration, Answer<u32>),
    Accounts(Answer<Vec<(String, u64)>>),
    OperatorAction(SpoolId, OperatorAction, Answer<u32>),
    Stored(SpoolId, Answer<Option<(Bytes, MessageKey, u32)>>),
    Rules(String, Answer<Vec<RulesPart>>),
    Refusal(String),
    Refusals(u32, Answer<Vec<String>>),
    Tidy(Answer<bool>),
    Close(Answer<()>),
}

/// What shares a transaction. Applied by reference, because a failed batch is tried again one by one.
pub(super) enum Write {
    Append(MessageKey, u32, Bytes),
    Discard(MessageKey),
    Insert(Box<Insert>),
    Begin(Attempt),
    Settle(Attempt, Settlement),
    Resolve(DispatchKey, Finding),
    Hold(DispatchKey, Diagnostic),
    Rules(String, Vec<RulesPart>, Option<RangeInclusive<u32>>),
    Refusal(String),
    Probe,
}

pub(super) struct Insert {
    key: MessageKey,
    submission: Submission,
    chunks: u32,
    octets: u64,
    rest: Bytes,
}

struct Writer {
    store: Box<dyn Store>,
    settings: SpoolSettings,
    clock: Clock,
    queue: mpsc::Receiver<Request>,
    arrived: watch::Sender<u64>,
    doubted: watch::Sender<u64>,
    counts: Arc<Mutex<Counts>>,
    disk: Arc<Mutex<DiskUse>>,
    /// Drafts that were dropped while the queue was full.
    discards: Arc<Mutex<Vec<MessageKey>>>,
    /// Where what the last run left could not be settled at start, for want of room: by how many milliseconds the clock
    /// was put back since.
    unrecovered: Option<i64>,
    inserted_at: Instant,
    lanes: Arc<Mutex<HashMap<String, u64>>>,
    time: SpoolTime,
    /// The time that was last noted in the store.
    seen_noted: Timestamp,
    /// Until when a dispatch that nothing was sent for is kept from other workers; `None` where that is for ever.
    leases: HashMap<DispatchKey, Option<Instant>>,
    /// Until when an attempt may take.
    in_flight: HashMap<DispatchKey, Instant>,
    /// How long each is put off that could not be read.
    unreadable: HashMap<DispatchKey, Duration>,
    fair_share: FairScheduler,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::with_capacity(self.settings.batch_max);
        while self
            .queue
            .blocking_recv_many(&mut batch, self.settings.batch_max)
            > 0
        {
            let mut writes = Vec::new();
            let mut others = Vec::new();
            for request in batch.drain(..) {
                match request {
                    Request::Write(write, answer) => writes.push((write, Some(answer))),
                    Request::Discard(key) => writes.push((Write::Discard(key), None)),
                    Request::Refusal(record) => writes.push((Write::Refusal(record), None)),
                    other => others.push(other),
                }
            }
            for key in self.discarded() {
                writes.push((Write::Discard(key), None));
            }
            let wrote = !writes.is_empty();
            if wrote {
                self.forget_history(writes.len());
                self.write_all(writes);
            }
            if wrote {
                self.publish_use();
            }
            for request in others {
                if let Request::Close(answer) = request {
                    // Nobody can ask any more; the last connection's close tidies up the log.
                    self.queue.close();
                    drop(self);
                    drop(answer.send(Ok(())));
                    return;
                }
                let changes_use = request.changes_use();
                self.serve(request);
                if changes_use {
                    self.publish_use();
                }
            }
        }
    }

    fn discarded(&self) -> Vec<MessageKey> {
        let mut discards = self.discards.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *discards)
    }

    /// Near the limit the oldest traces go, a little more than what comes.
    fn forget_history(&mut self, coming: usize) {
        let used = self
            .disk
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .used;
        if used < self.settings.history_from {
            return;
        }
        let limit = u32::try_from(coming * 4)
            .unwrap_or(FORGET_MAX)
            .min(FORGET_MAX);
        let all = Timestamp(i64::MAX);
        if let Err(error) = self.transaction(|writer| writer.store.forget_settled(all, limit)) {
            tracing::debug!(%error, "cannot forget old traces");
        }
    }

    /// Before anybody is answered: who was told of a change must find it counted.
    fn publish_counts(&mut self) {
        self.publish_lanes();
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner) = self.store.counts();
    }

    fn publish_lanes(&mut self) {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        for (lane, octets) in self.store.lane_changes() {
            if octets == 0 {
                lanes.remove(&lane);
            } else {
                lanes.insert(lane, octets);
            }
        }
    }

    /// Once a batch: a limit of gigabytes need not be exact.
    fn publish_use(&mut self) {
        match self.store.disk_use() {
            Ok(disk) => *self.disk.lock().unwrap_or_else(PoisonError::into_inner) = disk,
            Err(error) => tracing::debug!(%error, "cannot tell how large the spool is"),
        }
    }

    /// All or nothing first; where that fails, each for itself, so that one bad write spoils no other.
    fn write_all(&mut self, writes: Vec<(Write, Option<Answer<()>>)>) {
        self.follow_clock();
        let (writes, kept_out): (Vec<_>, Vec<_>) = writes
            .into_iter()
            .partition(|(write, _)| !(self.store.is_low() && write.brings_in()));
        for answer in kept_out.into_iter().filter_map(|(_, answer)| answer) {
            self.answer(answer, Err(kept_for_handing_over()));
        }
        if writes.is_empty() {
            return;
        }
        let all = self.transaction(|writer| {
            let now = writer.time.now();
            if now.since(writer.seen_noted) >= SEEN_INTERVAL {
                writer.note_seen()?;
            }
            writes.iter().try_for_each(|(write, _)| match write {
                write if writer.store.is_low() && write.brings_in() => Err(kept_for_handing_over()),
                write => writer.apply(write),
            })
        });
        if all.is_ok() && self.time.now().since(self.seen_noted) >= SEEN_INTERVAL {
            self.seen_noted = self.time.now();
        }
        self.publish_counts();
        let mut wake = false;
        for (write, answer) in writes {
            let done = match &all {
                Ok(()) => Ok(()),
                // What is left of the disk is for what brings mail out.
                Err(SpoolError::Full(_)) if self.store.is_low() && write.brings_in() => {
                    Err(kept_for_handing_over())
                }
                Err(_) => {
                    let done = self.transaction(|writer| writer.apply(&write));
                    self.publish_counts();
                    done
                }
            };
            if done.is_ok() {
                let inserted = matches!(write, Write::Insert(_));
                if inserted {
                    self.inserted_at = self.clock.now();
                }
                wake |= inserted;
                self.note_lease(&write);
            }
            if let Some(answer) = answer {
                self.answer(answer, done);
            }
        }
        if wake {
            self.arrived.send_modify(|count| *count += 1);
        }
    }

    fn note_lease(&mut self, write: &Write) {
        match write {
            Write::Begin(attempt) => {
                self.leases.remove(&attempt.key);
                let expires_at = self.clock.now() + self.settings.lease_ttl;
                self.in_flight.insert(attempt.key, expires_at);
            }
            Write::Settle(attempt, _) => {
                self.in_flight.remove(&attempt.key);
            }
            Write::Resolve(key, _) | Write::Hold(key, _) => {
                self.leases.remove(key);
            }
            _ => {}
        }
    }

    fn apply(&mut self, write: &Write) -> Result<(), SpoolError> {
        let now = self.clock.wall();
        match write {
            Write::Append(key, sequence, octets) => {
                self.store.append_draft(*key, *sequence, octets)
            }
            Write::Discard(key) => self.store.discard_draft(*key),
            Write::Insert(insert) => self.store.insert(
                insert.key,
                &insert.submission,
                self.time.now(),
                (insert.chunks, insert.octets),
                &insert.rest,
            ),
            Write::Begin(attempt) => self
                .store
                .begin_attempt(attempt, self.time.now().after(self.settings.lease_ttl)),
            Write::Settle(attempt, settlement) => {
                let due_at = self.due_in(settlement.transition.wait());
                self.store.settle(attempt, settlement, due_at, now)
            }
            Write::Resolve(key, finding) => {
                let due_at = self.due_in(finding.wait());
                self.store.resolve(*key, finding, due_at, now)
            }
            Write::Hold(key, why) => self.store.hold(*key, why, now),
            Write::Rules(account, parts, keep) => {
                self.store.put_rules(account, parts, keep.clone())
            }
            Write::Refusal(record) => self.store.note_refusal(record),
            Write::Probe => {
                // Real writes to real tables, undone in the same transaction.
                self.store.append_draft(PROBE_KEY, 0, b"probe")?;
                self.store.discard_draft(PROBE_KEY)
            }
        }
    }

    fn serve(&mut self, request: Request) {
        match request {
            Request::Write(..) | Request::Discard(_) | Request::Refusal(_) | Request::Close(_) => {}
            Request::Tidy(answer) => {
                self.recover_late();
                let idle = self.clock.now().saturating_duration_since(self.inserted_at) >= IDLE;
                let done = self.store.tidy(idle);
                self.answer(answer, done);
            }
            Request::Rules(account, answer) => {
                let done = self.store.rules(&account);
                self.answer(answer, done);
            }
            Request::Refusals(limit, answer) => {
                let done = self.store.refusals(limit);
                self.answer(answer, done);
            }
            Request::OperatorAction(id, order, answer) => {
                let now = self.clock.wall();
                let done = self.transaction(|writer| writer.store.order(id, order, now));
                self.retry_unreadable(id);
                self.publish_counts();
                // What is due now must not wait for the next look.
                self.arrived.send_modify(|count| *count += 1);
                self.doubted.send_modify(|count| *count += 1);
                self.answer(answer, done);
            }
            Request::Stored(id, answer) => {
                let done = self.store.stored(id);
                self.answer(answer, done);
            }
            Request::Accounts(answer) => {
                let done = self.store.open_accounts();
                self.answer(answer, done);
            }
            Request::Release(key) => {
                self.leases.remove(&key);
                self.arrived.send_modify(|count| *count += 1);
            }
            Request::Lease(request, answer) => {
                let leased = self
                    .lease(&request)
                    .map_err(|error| self.store.explain(error));
                if let Err(Ok((unwanted, _))) = answer.send(leased) {
                    for leased in unwanted {
                        self.leases.remove(&leased.key);
                    }
                }
            }
            Request::Chunk(key, sequence, answer) => {
                let done = self.store.chunk(key, sequence);
                self.answer(answer, done);
            }
            Request::List(all, before, limit, answer) => {
                let done = self.store.list(all, before, limit);
                self.answer(answer, done);
            }
            Request::Show(id, answer) => {
                let mut found = self.store.show(id);
                if let Ok(Some(record)) = &mut found {
                    for dispatch in &mut record.dispatches {
                        dispatch.due_at = dispatch.due_at.map(|due| self.time.shown(due));
                    }
                }
                self.answer(answer, found);
            }
            Request::Oldest(answer) => {
                let done = self.store.oldest_unsettled();
                self.answer(answer, done);
            }
            Request::Forget(age, answer) => {
                self.follow_clock();
                let before = self.time.aged_to(self.clock.now()).before(age);
                let done =
                    self.transaction(|writer| writer.store.forget_settled(before, FORGET_MAX));
                self.answer(answer, done);
            }
        }
    }

    /// Whoever asked may have gone; what was done stands all the same.
    fn answer<T>(&mut self, answer: Answer<T>, done: Result<T, SpoolError>) {
        let done = done.map_err(|error| self.store.explain(error));
        drop(answer.send(done));
    }

    fn lease(
        &mut self,
        request: &LeaseRequest,
    ) -> Result<(Vec<Leased>, Option<Timestamp>), SpoolError> {
        self.follow_clock();
        self.interrupt_expired()?;
        let (now, steady) = (self.time.now(), self.clock.now());
        self.leases
            .retain(|_, expires_at| expires_at.is_none_or(|at| at > steady));
        let state = request.work.state();
        let mut leased = Vec::new();
        // What is put aside must not hide what is due behind it.
        for _ in 0..request.limit.max(PUT_ASIDE_MAX) {
            let leases = &self.leases;
            let batch = self.fair_share.next(
                self.store.as_mut(),
                (&request.account, state),
                now,
                request.limit,
                &request.except,
                &|key| leases.contains_key(&key),
            )?;
            let put_aside = batch.damaged.len() + batch.unreadable.len();
            for (key, id) in batch.damaged {
                self.hold_damaged(key, id);
            }
            for (key, id) in batch.unreadable {
                self.put_off(key, id, steady);
            }
            leased = batch.leased;
            if put_aside == 0 || !leased.is_empty() {
                break;
            }
        }
        let expires_at = steady + self.settings.lease_ttl;
        for leased in &leased {
            self.unreadable.remove(&leased.key);
            self.leases.insert(leased.key, Some(expires_at));
        }
        // Whoever has work comes back when it is done.
        let next_due = if leased.is_empty() {
            let next_due = self.store.next_due(&request.account, state, now)?;
            next_due.map(|due| self.time.shown(due))
        } else {
            None
        };
        Ok((leased, next_due))
    }

    /// One message that can't be read must not stop the others.
    fn hold_damaged(&mut self, key: DispatchKey, id: DispatchId) {
        let now = self.clock.wall();
        let why = Diagnostic::new("the stored message is damaged");
        let held = self.transaction(|writer| writer.store.hold(key, &why, now));
        tracing::error!(
            spool_id = %id,
            held = held.is_ok(),
            "a stored message is damaged"
        );
        if held.is_err() {
            // Out of the way until the next start, at least.
            self.leases.insert(key, None);
        }
        self.publish_counts();
    }

    /// One message that can't be read must not stop the others, and may be readable later.
    fn put_off(&mut self, key: DispatchKey, id: DispatchId, steady: Instant) {
        let wait = self.unreadable.entry(key).or_insert(UNREADABLE_FIRST);
        tracing::error!(
            spool_id = %id,
            again_in = wait.as_secs(),
            "a stored message can't be read now: see the kernel's log for errors of the disk"
        );
        self.leases.insert(key, Some(steady + *wait));
        *wait = (*wait * 2).min(UNREADABLE_MAX);
    }

    fn interrupt(
        &mut self,
        attempts: &[DispatchKey],
        now: Timestamp,
        confirm_at: Timestamp,
    ) -> Result<u32, SpoolError> {
        let next_at = self.time.shown(confirm_at);
        self.store.interrupt(attempts, now, confirm_at, next_at)
    }

    /// An operator's order is for now: the disk may be mended.
    fn retry_unreadable(&mut self, id: SpoolId) {
        if self.unreadable.is_empty() {
            return;
        }
        for key in self.store.dispatches(id).unwrap_or_default() {
            if self.unreadable.remove(&key).is_some() {
                self.leases.remove(&key);
            }
        }
    }

    /// Due dates keep their distance whatever becomes of the clock; when open attempts began is told anew.
    fn follow_clock(&mut self) {
        let step = self.time.read(self.clock.wall(), self.clock.now());
        if step.abs() < milliseconds(CLOCK_STEP_MIN) {
            return;
        }
        let shifted = self.transaction(|writer| writer.store.shift_doubts(step));
        if let Err(error) = shifted {
            tracing::debug!(%error, "cannot move the times of open attempts");
        }
        let seconds = step / 1000;
        tracing::warn!(
            seconds,
            "the clock was changed: what waits is not kept waiting longer for it"
        );
        self.arrived.send_modify(|count| *count += 1);
        self.doubted.send_modify(|count| *count += 1);
    }

    /// A worker that died without settling leaves an attempt whose outcome nobody knows.
    fn interrupt_expired(&mut self) -> Result<(), SpoolError> {
        let steady = self.clock.now();
        let expired: Vec<DispatchKey> = self
            .in_flight
            .iter()
            .filter(|(_, expires_at)| **expires_at <= steady)
            .map(|(key, _)| *key)
            .collect();
        if expired.is_empty() {
            return Ok(());
        }
        let now = self.clock.wall();
        let confirm_at = self.time.now().after(self.settings.confirm_after);
        let interrupted = self.transaction(|writer| writer.interrupt(&expired, now, confirm_at))?;
        tracing::warn!(interrupted, "attempts outlived their lease, now in doubt");
        self.publish_counts();
        self.doubted.send_modify(|count| *count += 1);
        for key in expired {
            self.in_flight.remove(&key);
        }
        Ok(())
    }

    fn note_seen(&mut self) -> Result<(), SpoolError> {
        let seen = self.time.seen(self.clock.now());
        self.store.note_seen(seen)
    }

    /// The due date of what waits from now on.
    fn due_in(&self, wait: Option<Duration>) -> Option<Timestamp> {
        wait.map(|wait| self.time.now().after(wait))
    }

    /// Settles what the last run left: attempts that were cut off, and times by a clock that was put back since by
    /// `back` milliseconds.
    fn recover(&mut self, back: i64) -> Result<(), SpoolError> {
        let (wall, now) = (self.clock.wall(), self.time.now());
        let (interrupted, pulled) = self.transaction(|writer| {
            let mut left = writer.store.in_flight()?;
            left.retain(|key| !writer.in_flight.contains_key(key));
            let confirm_at = now.after(writer.settings.confirm_after);
            let interrupted = writer.interrupt(&left, wall, confirm_at)?;
            let latest = now.after(writer.settings.wait_max);
            let pulled = writer.store.pull_due(latest, now)?;
            if back > 0 {
                writer.store.shift_doubts(-back)?;
            }
            writer.note_seen()?;
            Ok((interrupted, pulled))
        })?;
        if back >= milliseconds(CLOCK_STEP_MIN) {
            let seconds = back / 1000;
            tracing::warn!(
                seconds,
                "the clock was put back since the last run: what waits is due as it was"
            );
        }
        if pulled > 0 {
            tracing::warn!(
                pulled,
                "due times far in the future, the clock was wrong: due now"
            );
        }
        if interrupted > 0 {
            tracing::warn!(
                interrupted,
                "attempts were cut off by the last stop, now in doubt"
            );
        }
        Ok(())
    }

    /// What could not be settled at start is settled when there is room.
    fn recover_late(&mut self) {
        let Some(back) = self.unrecovered else {
            return;
        };
        if self.recover(back).is_ok() {
            self.unrecovered = None;
            self.publish_counts();
            self.doubted.send_modify(|count| *count += 1);
        }
    }

    /// Where the disk is full, room is made once and the work is done again.
    fn transaction<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        let done = self.try_transaction(&work);
        match done {
            Err(SpoolError::Full(_)) if self.store.make_room() => self.try_transaction(&work),
            done => done,
        }
    }

    fn try_transaction<T>(
        &mut self,
        work: impl Fn(&mut Self) -> Result<T, SpoolError>,
    ) -> Result<T, SpoolError> {
        self.store.begin()?;
        let done = work(self).and_then(|value| self.store.commit().map(|()| value));
        if done.is_err() {
            self.store.rollback();
        }
        done
    }
}

impl Request {
    /// Whether it changes how much the store takes.
    fn changes_use(&self) -> bool {
        matches!(
            self,
            Self::OperatorAction(..) | Self::Forget(..) | Self::Tidy(_)
        )
    }
}

impl Write {
    /// Whether it brings something new in, rather than mail out.
    fn brings_in(&self) -> bool {
        matches!(
            self,
            Self::Append(..) | Self::Insert(_) | Self::Rules(..) | Self::Refusal(_) | Self::Probe
        )
    }
}

fn kept_for_handing_over() -> SpoolError {
    SpoolError::Full("what is left is kept for handing mail over".into())
}

/// Without new mail for so long, there is time to tidy.
const IDLE: Duration = Duration::from_secs(1);
/// Requests that may wait; behind it, whoever asks waits to ask.
const QUEUE_MAX: usize = 1024;
/// Smaller steps are how clocks are kept right.
const CLOCK_STEP_MIN: Duration = Duration::from_secs(60);
/// How often the time is noted in the store, with what is written then.
const SEEN_INTERVAL: Duration = Duration::from_secs(30);
/// Messages forgotten per request, so that accepting mail is not kept waiting.
const FORGET_MAX: u32 = 500;
/// A disk that retries a bad sector takes its time.
const UNREADABLE_FIRST: Duration = Duration::from_secs(60);
const UNREADABLE_MAX: Duration = Duration::from_secs(3600);
/// Messages that one request for mail may put aside.
const PUT_ASIDE_MAX: usize = 256;
/// No message ever has this number.
const PROBE_KEY: MessageKey = MessageKey(0);

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
