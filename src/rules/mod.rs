//! Who may submit, as whom and to whom: the rules of the configuration and of the provider, as values.
//!
//! `policy` decides by them, `sync` fetches the provider's, `app` builds the configured ones. Nothing here does I/O.

mod account;
mod configured;
mod explanation;
mod lists;
mod section;
mod submitter;
mod suppressions;
mod users;

pub use account::AccountRules;
pub use configured::{
    DeviceRule, FromOverride, IpRule, IpSource, KnowledgeRule, LimitOwner, ListenerRule, Rules,
    USER_LANE, WhenStale, WithoutRules,
};
pub use explanation::{Explanation, Says, Step, age_seconds};
pub use lists::{
    AddressList, Domains, IpAuth, IpAuthRule, IpList, ListMode, RecipientList, SenderList,
    SingleSenders, fold_entry,
};
pub use section::{Confirmed, Section, SectionName, UnknownSection};
pub use submitter::{Basis, Submitter};
pub use suppressions::{SuppressionReason, Suppressions, SuppressionsBuilder};
pub use users::{PasswordHash, RateLimit, Standing, UserRule, Users};
