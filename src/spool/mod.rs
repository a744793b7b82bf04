//! What we owe, stored durably: drafts, group commit, leases, settlement, retention.
//!
//! [`Spool`] is the front door. One thread owns the [`Store`] and works through requests in
//! batches: all writes of a batch share one transaction and one sync, and nobody is answered before
//! that sync. A store is SQLite ([`SqliteStore`]) or memory ([`MemoryStore`], for tests); both pass the
//! same contract test.
//!
//! # The states of a dispatch
//!
//! | state | stored as | due | who may act |
//! | --- | --- | --- | --- |
//! | due | queued | ≤ now | the forwarder leases it |
//! | leased | queued; the lease is in memory | – | its worker, until expiry; then due |
//! | in flight | in flight | lease expiry | its worker; on expiry or crash → in doubt |
//! | waiting | queued | > now | nobody until due |
//! | in doubt | in doubt | confirm time | whoever settles doubts: known to the provider → accepted; a repeat that is deferred stays in doubt |
//! | held | held | never | an operator |
//! | accepted, bounced | the same | – | nobody; kept for the trace until retention ends |
//!
//! # Crash argument
//! - The instant of responsibility is the commit of [`Draft::commit`]: header, envelope, plan and
//!   content become durable in one transaction, and only then is anybody told so.
//! - A crash before it leaves at most draft chunks, which are swept at the next start.
//! - A crash while leased: the lease was only in memory and nothing was sent. Due again.
//! - *In flight* is durable before the request leaves ([`Spool::begin_attempt`]). A crash after it
//!   leaves a row that says so; opening the store turns it into *in doubt*, never into *due*.
//! - Every transition carries its event in the same transaction, so the trace can't disagree with
//!   the state.
//! - The content goes in the transaction that settles the last dispatch, never before.
//!
//! # Failure
//! A failed batch is rolled back and its requests are tried one by one; whoever fails then gets the
//! error. A store that is damaged, foreign or of a newer version is refused and left as it is.

mod draft;
mod fair_share;
mod memory;
mod record;
mod schema;
mod space;
mod sqlite;
mod standing;
mod store;
mod time;
mod writer;

pub use draft::Draft;
pub use memory::MemoryStore;
pub use record::{
    Attempt, Content, DispatchRecord, EventRecord, Finding, Leased, MessageRecord, OperatorAction,
    Origin, QueueRow, Settlement, State, Submission, Transition,
};
pub use space::{Announced, Shortage, Space, SpaceLimits, free_octets, volatile_storage};
pub use sqlite::SqliteStore;
pub use standing::{Trying, TryingMark};
pub use store::{Counts, DiskUse, Lane, RulesPart, SpoolError, Store, account_lane, lane_of};
pub use writer::{LeaseRequest, Spool, SpoolSettings, Stored, Work};
