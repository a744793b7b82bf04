//! What the provider allows an account: one immutable copy of each section, and how old it is.
//!
//! Fetched, kept and published by `sync`, decided upon by `policy` and `auth`. Everything that is compared is
//! stored folded once (domains in ASCII, all in lower case), so that each question is one look into a table
//! whatever the number of entries.
//!
//! provider-api 9 and provider-api 10

use super::{
    Domains, IpAuth, IpList, RecipientList, Section, SenderList, SingleSenders, Suppressions, Users,
};

/// All sections of one account.
#[derive(Clone, Debug, Default)]
pub struct AccountRules {
    /// SMTP users: who may sign in, how much they may send.
    pub users: Section<Users>,
    /// Whether users have never been known because the provider can't be reached: then nobody can say yet that there
    /// is none of a name.
    pub users_awaited: bool,
    /// The list of allowed senders, and its mode.
    pub allowed_senders: Section<SenderList>,
    /// The list of allowed recipients, where it is switched on.
    pub allowed_recipients: Section<RecipientList>,
    /// Addresses that may use SMTP.
    pub ip_smtp: Section<IpList>,
    /// Addresses that may use the API.
    pub ip_api: Section<IpList>,
    /// Addresses that need no credential.
    pub ip_auth: Section<IpAuth>,
    /// Sender domains.
    pub domains: Section<Domains>,
    /// Single sender addresses.
    pub single_senders: Section<SingleSenders>,
    /// Addresses and domains that get no mail.
    pub suppressions: Section<Suppressions>,
}
