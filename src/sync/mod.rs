//! Keeps the provider's rules fresh, and keeps the last-known-good ones.
//!
//! One [`Synchroniser`] per account looks at each section in turn, an interval apart. What has not changed is only
//! confirmed; what has is stored in the spool's database and published as one immutable [`Rules`]
//! ([`Publisher`]). A section that fails keeps what it had; so does one whose answer makes no sense, and one that was
//! suddenly emptied, for a while (`shrink.rs`). A section that the key may not see is reported once.
//!
//! A rule that refused something may have changed meanwhile: [`SyncHandle::revalidate`] has that section fetched again, at
//! most every few seconds, so that the next try passes.
//!
//! # Failure
//! Nothing here refuses mail. `policy` decides what to do about sections that are not known or too old.
//!
//! [`Rules`]: crate::rules::Rules

mod fetch;
mod handle;
mod held;
mod publisher;
mod reading;
mod refresher;
mod revalidate;
mod shrink;
mod snapshot;
mod status;
mod values;

pub use fetch::{look, needed_permissions, permission_for};
pub use handle::SyncHandle;
pub use publisher::Publisher;
pub use refresher::{SyncSettings, Synchroniser};
pub use status::{EntryDiff, SectionDiff, SectionState, SectionStatus};
pub use values::SectionValue;
