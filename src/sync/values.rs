//! The value of one section, whichever it is.

use std::sync::Arc;

use aws_lc_rs::digest;

use crate::rules::{
    AccountRules, Confirmed, Domains, IpAuth, IpList, RecipientList, Section, SectionName,
    SenderList, SingleSenders, Standing, Suppressions, Users,
};

/// See the module's documentation. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum SectionValue {
    /// SMTP users.
    Users(Arc<Users>),
    /// Allowed senders.
    AllowedSenders(Arc<SenderList>),
    /// Allowed recipients.
    AllowedRecipients(Arc<RecipientList>),
    /// Addresses that may use SMTP.
    IpSmtp(Arc<IpList>),
    /// Addresses that may use the API.
    IpApi(Arc<IpList>),
    /// Addresses that need no credential.
    IpAuth(Arc<IpAuth>),
    /// Sender domains.
    Domains(Arc<Domains>),
    /// Single senders.
    SingleSenders(Arc<SingleSenders>),
    /// Suppressions.
    Suppressions(Arc<Suppressions>),
}

impl SectionValue {
    /// Which section it is.
    pub fn name(&self) -> SectionName {
        match self {
            Self::Users(_) => SectionName::Users,
            Self::AllowedSenders(_) => SectionName::AllowedSenders,
            Self::AllowedRecipients(_) => SectionName::AllowedRecipients,
            Self::IpSmtp(_) => SectionName::IpAllowListSmtp,
            Self::IpApi(_) => SectionName::IpAllowListApi,
            Self::IpAuth(_) => SectionName::IpAuth,
            Self::Domains(_) => SectionName::Domains,
            Self::SingleSenders(_) => SectionName::SingleSenders,
            Self::Suppressions(_) => SectionName::Suppressions,
        }
    }

    /// How many entries it has; switches and modes are none.
    pub fn count(&self) -> usize {
        match self {
            Self::Users(users) => users.len(),
            Self::AllowedSenders(senders) => senders.list.len(),
            Self::AllowedRecipients(recipients) => recipients.list.len(),
            Self::IpSmtp(list) | Self::IpApi(list) => list.networks.len(),
            Self::IpAuth(list) => list.0.len(),
            Self::Domains(domains) => domains.0.len(),
            Self::SingleSenders(senders) => senders.0.len(),
            Self::Suppressions(suppressions) => suppressions.len(),
        }
    }

    /// What stands beside the entries, such as the mode of a list; empty where nothing does.
    pub fn setting(&self) -> &'static str {
        let switch = |enabled| {
            if enabled {
                "switched on"
            } else {
                "switched off"
            }
        };
        match self {
            Self::AllowedSenders(senders) => senders.mode.word(),
            Self::AllowedRecipients(recipients) => switch(recipients.enabled),
            Self::IpSmtp(list) | Self::IpApi(list) => switch(list.enabled),
            _ => "",
        }
    }

    /// Puts it in its place.
    pub(super) fn install(&self, rules: &mut AccountRules, confirmed: &Confirmed) {
        fn known<T>(value: &Arc<T>, confirmed: &Confirmed) -> Section<T> {
            Section::known(Arc::clone(value), confirmed.clone())
        }
        match self {
            Self::Users(value) => rules.users = known(value, confirmed),
            Self::AllowedSenders(value) => rules.allowed_senders = known(value, confirmed),
            Self::AllowedRecipients(value) => rules.allowed_recipients = known(value, confirmed),
            Self::IpSmtp(value) => rules.ip_smtp = known(value, confirmed),
            Self::IpApi(value) => rules.ip_api = known(value, confirmed),
            Self::IpAuth(value) => rules.ip_auth = known(value, confirmed),
            Self::Domains(value) => rules.domains = known(value, confirmed),
            Self::SingleSenders(value) => rules.single_senders = known(value, confirmed),
            Self::Suppressions(value) => rules.suppressions = known(value, confirmed),
        }
    }

    /// Its entries, each with what is said of it, in no order; never a secret.
    pub fn each(&self, mut tell: impl FnMut(&str, &str)) {
        let verified = |verified: &bool| {
            if *verified {
                "verified"
            } else {
                "not verified"
            }
        };
        match self {
            Self::Users(users) => {
                for user in users.iter() {
                    let limit = user.limit.map(|limit| format!(", {limit}"));
                    let about = format!("{}{}", words(&user.standing), limit.unwrap_or_default());
                    tell(&user.name, &about);
                }
                if let Some(limit) = users.default_limit {
                    tell("(all others)", &limit.to_string());
                }
            }
            Self::AllowedSenders(senders) => {
                senders.list.iter().for_each(|entry| tell(entry, ""));
                senders
                    .patterns
                    .iter()
                    .for_each(|entry| tell(entry, "pattern"));
            }
            Self::AllowedRecipients(recipients) => {
                recipients.list.iter().for_each(|entry| tell(entry, ""));
            }
            Self::IpSmtp(list) | Self::IpApi(list) => {
                let networks = list.networks.iter();
                networks.for_each(|network| tell(&network.to_string(), ""));
            }
            Self::IpAuth(list) => {
                for (network, rule) in &list.0 {
                    let limit = rule.limit.map(|limit| format!(", {limit}"));
                    let about = format!("{}{}", words(&rule.standing), limit.unwrap_or_default());
                    // An address alone is shown as such.
                    let alone = network.prefix_len() == network.max_prefix_len();
                    let shown = match alone {
                        true => network.addr().to_string(),
                        false => network.to_string(),
                    };
                    tell(&shown, &about);
                }
            }
            Self::Domains(domains) => {
                let domains = domains.0.iter();
                domains.for_each(|(name, state)| tell(name, verified(state)));
            }
            Self::SingleSenders(senders) => {
                let senders = senders.0.iter();
                senders.for_each(|(name, state)| tell(name, verified(state)));
            }
            Self::Suppressions(suppressions) => {
                let entries = suppressions.iter();
                entries.for_each(|(entry, reason)| tell(entry, reason.word()));
            }
        }
    }

    /// Hexadecimal; the same for the same entries in whatever order, and for the same passwords.
    pub(super) fn digest(&self) -> String {
        let mut sum = 0_u128;
        let mut add = |parts: &[&[u8]]| {
            let mut context = digest::Context::new(&digest::SHA256);
            for part in parts {
                context.update(&(part.len() as u64).to_be_bytes());
                context.update(part);
            }
            let mut half = [0; 16];
            half.copy_from_slice(&context.finish().as_ref()[..16]);
            // Addition has no order, and needs no sorted copy of two hundred thousand entries.
            sum = sum.wrapping_add(u128::from_be_bytes(half));
        };
        add(&[b"setting", self.setting().as_bytes()]);
        self.each(|entry, about| add(&[entry.as_bytes(), about.as_bytes()]));
        if let Self::Users(users) = self {
            for user in users.iter() {
                if let Some(password) = &user.password {
                    add(&[user.name.as_bytes(), &password.salt, &password.hash]);
                }
            }
        }
        format!("{sum:032x}")
    }
}

fn words(standing: &Standing) -> String {
    match standing {
        Standing::Allowed => "allowed".to_owned(),
        Standing::Sandbox => "sandbox".to_owned(),
        Standing::Blocked(why) => format!("blocked ({why})"),
    }
}
