//! Who may submit, as whom and to whom: the rules of the configuration and of the provider, as values.
//!
//! `policy` decides by them, `sync` fetches the provider's, `app` builds the configured ones. Nothing here does I/O.

mod account;
mod configured;
mod explanation;
mod submitter;
mod suppressions;

pub use account::{
    AccountRules, AddressList, Confirmed, Domains, IpAuth, IpAuthRule, IpList, ListMode,
    PasswordHash, RateLimit, RecipientList, Section, SectionName, SenderList, SingleSenders,
    Standing, SuppressionReason, UnknownSection, UserRule, Users, fold_entry,
};
pub use configured::{
    DeviceRule, FromOverride, IpRule, IpSource, KnowledgeRule, LimitOwner, ListenerRule, Rules,
    USER_LANE, WhenStale, WithoutRules,
};
pub use explanation::{Explanation, Says, Step, age_seconds};
pub use submitter::{Basis, Submitter};
pub use suppressions::{Suppressions, SuppressionsBuilder};
