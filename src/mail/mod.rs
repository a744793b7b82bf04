//! The types of mail that every module uses: addresses, envelopes, replies, verdicts, outcomes.
//!
//! No sockets, no files, no clocks. What two modules of one layer share is defined here, so that they stay independent of
//! each other.

mod dispatch;
mod envelope;
mod event;
mod facts;
mod ids;
mod mailbox;
mod network;
mod opening;
mod outcome;
pub mod reply;
mod shown;
mod verdict;

pub use dispatch::{Dispatch, Edit, EditError, Hidden, Mismatch, Shared, apply_edits};
pub use envelope::{Envelope, HeaderSender, Recipients, ReversePath};
pub use event::{SessionEvent, TlsFault, refusal_hint};
pub use facts::{Identity, ReceivedDetail, SessionFacts, SessionId, SignIn, TlsFacts};
pub use ids::{DispatchId, ParseIdError, SpoolId};
pub use mailbox::{AddressPattern, Mailbox, MailboxError};
pub use network::{neighbourhood, read_network};
pub use opening::Opening;
pub use outcome::{Diagnostic, Outcome};
pub use reply::Reply;
pub use shown::{escaped, is_printable, opaque_name, printable, shortened};
pub use verdict::Verdict;
