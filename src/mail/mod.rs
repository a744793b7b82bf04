//! The nouns of mail that every room speaks: addresses, envelopes, replies, verdicts, outcomes.
//!
//! Nothing here does anything: no sockets, no files, no clocks. What two rooms of one floor
//! share is defined here, so that they can stay strangers to each other.

mod account_rules;
mod dispatch;
mod envelope;
mod event;
mod explanation;
mod facts;
mod ids;
mod mailbox;
mod network;
mod opening;
mod outcome;
pub mod reply;
mod rules;
mod shown;
mod suppressions;
mod verdict;

pub use account_rules::{
    AccountRules, AddressList, Confirmed, Domains, IpAuth, IpAuthRule, IpList, ListMode,
    PasswordHash, RateLimit, RecipientList, Section, SectionName, SenderList, SingleSenders,
    Standing, SuppressionReason, UnknownSection, UserRule, Users, fold_entry,
};
pub use dispatch::{Dispatch, Edit, EditError, Hidden, Mismatch, Shared, apply_edits};
pub use envelope::{Envelope, HeaderSender, Recipients, ReversePath};
pub use event::{SessionEvent, TlsFault, refusal_hint};
pub use explanation::{Explanation, Says, Step, age_seconds};
pub use facts::{Identity, ReceivedDetail, SessionFacts, SessionId, SignIn, TlsFacts};
pub use ids::{DispatchId, ParseIdError, SpoolId};
pub use mailbox::{AddressPattern, Mailbox, MailboxError};
pub use network::{neighbourhood, read_network};
pub use opening::Opening;
pub use outcome::{Diagnostic, Outcome};
pub use reply::Reply;
pub use rules::{
    DeviceRule, FromOverride, IpRule, IpSource, KnowledgeRule, LimitOwner, ListenerRule, Rules,
    USER_LANE, WhenStale, WithoutRules,
};
pub use shown::{escaped, is_printable, opaque_name, printable, shortened};
pub use suppressions::{Suppressions, SuppressionsBuilder};
pub use verdict::{Basis, Submitter, Verdict};
