//! As whom the submitter may send: the envelope at MAIL, envelope and header together at the end.

use crate::mail::{HeaderSender, Mailbox, Reply, ReversePath, reply};
use crate::rules::{DeviceRule, FromOverride, ListMode, Says, SectionName, Submitter};

use super::knowledge::Provided;
use super::{Policy, Refusal, SenderAction};

/// Where an address of a sender stands.
#[derive(Clone, Copy)]
enum Place {
    Envelope,
    Header,
    /// `from_address` of the device.
    Override,
}

impl Place {
    fn stage(self) -> &'static str {
        match self {
            Self::Envelope | Self::Override => "sender",
            Self::Header => "message",
        }
    }

    fn of_device(self, address: &Mailbox) -> Reply {
        match self {
            Self::Header => reply::header_sender_not_allowed(address),
            _ => reply::sender_not_allowed(address),
        }
    }

    fn not_listed(self, address: &Mailbox) -> Reply {
        match self {
            Self::Header => reply::header_sender_not_listed(address),
            _ => reply::sender_not_listed(address),
        }
    }

    fn not_verified(self, address: &Mailbox) -> Reply {
        match self {
            Self::Header => reply::header_sender_not_verified(address),
            _ => reply::sender_not_verified(address),
        }
    }
}

impl Policy<'_> {
    /// Whether the submitter may use this reverse-path. A null one is judged by the header alone.
    ///
    /// # Errors
    /// When a list does not cover it and nothing replaces it.
    pub fn sender(&self, submitter: &Submitter, reverse_path: &ReversePath) -> Result<(), Refusal> {
        match self.device(submitter).map(|(_, rule)| &rule.from_override) {
            Some(FromOverride::Always(address)) => {
                self.by_account(submitter, address, Place::Override)
            }
            // Whatever is wrong with it, the end of the message decides what becomes of it.
            Some(FromOverride::IfNotAllowed(_)) => Ok(()),
            Some(FromOverride::Off) | None => match reverse_path.mailbox() {
                Some(mailbox) => self.allowed(submitter, mailbox, Place::Envelope),
                None => Ok(()),
            },
        }
    }

    /// What happens to the sender of a complete message; envelope and header must both be allowed.
    ///
    /// # Errors
    /// When either is not, and nothing replaces it.
    pub fn message(
        &self,
        submitter: &Submitter,
        reverse_path: &ReversePath,
        header: &HeaderSender,
    ) -> Result<SenderAction, Refusal> {
        // Before anything is replaced: no override makes two senders one.
        countable(header)?;
        let replacement = self.device(submitter).map(|(_, rule)| &rule.from_override);
        if let Some(FromOverride::Always(address)) = replacement {
            self.by_account(submitter, address, Place::Override)?;
            return Ok(SenderAction::Override(address.clone()));
        }
        match (self.judge(submitter, reverse_path, header), replacement) {
            // A rule that is not known is no reason to replace anything.
            (Err(refusal), Some(FromOverride::IfNotAllowed(address)))
                if refusal.reply.code() >= 500 =>
            {
                self.by_account(submitter, address, Place::Override)?;
                Ok(SenderAction::Override(address.clone()))
            }
            (judged, _) => judged,
        }
    }

    fn judge(
        &self,
        submitter: &Submitter,
        reverse_path: &ReversePath,
        header: &HeaderSender,
    ) -> Result<SenderAction, Refusal> {
        if let Some(mailbox) = reverse_path.mailbox() {
            self.allowed(submitter, mailbox, Place::Envelope)?;
        }
        let all_allowed = |addresses: &[Mailbox]| {
            let mut addresses = addresses.iter();
            addresses.try_for_each(|address| self.allowed(submitter, address, Place::Header))
        };
        match header {
            HeaderSender::Several | HeaderSender::TooMany => {
                countable(header).map(|()| SenderAction::Keep)
            }
            HeaderSender::Unreadable(text) if self.is_restricted(submitter)? => Err(Refusal::ours(
                reply::from_unreadable(text),
                "a list of senders can't be checked against a From that different programs read differently: set a \
                 plain From on the device, or from_override here",
            )),
            HeaderSender::Unreadable(_) => Ok(SenderAction::Keep),
            HeaderSender::Doubtful(addresses, text) => {
                if !self.is_restricted(submitter)? {
                    return Ok(SenderAction::Keep);
                }
                match all_allowed(addresses) {
                    Ok(()) => Ok(SenderAction::Canonical),
                    // A rule that is not known now may allow it later.
                    Err(refusal) if refusal.reply.code() < 500 => Err(refusal),
                    Err(refusal) => Err(Refusal {
                        reply: reply::from_unreadable(text),
                        hint: format!("some programs read another sender in it: {}", refusal.hint),
                        revalidate: refusal.revalidate,
                    }),
                }
            }
            HeaderSender::Missing(others) => match reverse_path.mailbox() {
                Some(mailbox) => {
                    all_allowed(others).map(|()| SenderAction::Complete(mailbox.clone()))
                }
                None => Err(Refusal::ours(
                    reply::FROM_MISSING,
                    "neither the envelope nor the header names a sender",
                )),
            },
            HeaderSender::Addresses(addresses) => {
                all_allowed(addresses).map(|()| SenderAction::Keep)
            }
        }
    }

    /// Whether somebody wrote down who may send. Verified domains alone are left to the provider's own reading.
    fn is_restricted(&self, submitter: &Submitter) -> Result<bool, Refusal> {
        let by_device = self
            .device(submitter)
            .is_some_and(|(_, rule)| !rule.allowed_senders.is_empty());
        let account = &submitter.account;
        let of = &self.rules.account(account).allowed_senders;
        let listed = self.heed("message", account, SectionName::AllowedSenders, of)?;
        Ok(by_device || listed.is_some_and(|listed| listed.value.mode != ListMode::Disabled))
    }

    fn allowed(
        &self,
        submitter: &Submitter,
        address: &Mailbox,
        place: Place,
    ) -> Result<(), Refusal> {
        if let Some((name, rule)) = self.device(submitter) {
            self.by_device(name, rule, address, place)?;
        }
        self.by_account(submitter, address, place)
    }

    fn by_device(
        &self,
        name: &str,
        rule: &DeviceRule,
        address: &Mailbox,
        place: Place,
    ) -> Result<(), Refusal> {
        let allowed = &rule.allowed_senders;
        if allowed.is_empty() {
            return Ok(());
        }
        let source = format!("devices.{name}.allowed_senders");
        if let Some(pattern) = allowed.iter().find(|pattern| pattern.covers(address)) {
            self.note_setting(place.stage(), Says::Allow, address, source, pattern);
            return Ok(());
        }
        self.note_setting(place.stage(), Says::Refuse, address, source, "not covered");
        let hint = format!(
            "not in devices.{name}.allowed_senders: add the address there, change the sender on the device, or \
             set from_override"
        );
        Err(Refusal::ours(place.of_device(address), hint))
    }

    /// The account's own list where it is switched on, else its verified domains and single senders.
    fn by_account(
        &self,
        submitter: &Submitter,
        address: &Mailbox,
        place: Place,
    ) -> Result<(), Refusal> {
        let (account, stage) = (&submitter.account, place.stage());
        let of = &self.rules.account(account).allowed_senders;
        let Some(listed) = self.heed(stage, account, SectionName::AllowedSenders, of)? else {
            // Without the mode nobody knows whether verified domains count.
            return Ok(());
        };
        let (mode, from) = (listed.value.mode, listed.of);
        let entry = listed.value.covering(address);
        let says = match (mode, entry) {
            (ListMode::Disabled, _) => Says::Nothing,
            (ListMode::Whitelist, Some(_)) | (ListMode::Blacklist, None) => Says::Allow,
            _ => Says::Refuse,
        };
        self.note_provided(stage, says, address, from, Listed(mode, entry));
        match says {
            Says::Allow => Ok(()),
            Says::Nothing => self.verified(submitter, address, place),
            Says::Refuse => {
                let hint = format!(
                    "{account}/{} ({}) is against {address}: see `api allowed-senders view`{}",
                    from.section,
                    mode.word(),
                    place.remedy()
                );
                Err(from.refusal(place.not_listed(address), address, hint))
            }
        }
    }

    fn verified(
        &self,
        submitter: &Submitter,
        address: &Mailbox,
        place: Place,
    ) -> Result<(), Refusal> {
        let (account, stage) = (&submitter.account, place.stage());
        let rules = self.rules.account(account);
        let domains = self.heed(stage, account, SectionName::Domains, &rules.domains)?;
        let verified = domains.as_ref().map(|domains| {
            let found = domains.value.covering(address.domain());
            let (says, value) = match found {
                Some((name, true)) => (Says::Allow, format!("{name} is verified")),
                Some((name, false)) => (Says::Refuse, format!("{name} is not verified")),
                None => (Says::Refuse, "not a domain of the account".to_owned()),
            };
            self.note_provided(stage, says, address, domains.of, value);
            says == Says::Allow
        });
        if verified == Some(true) {
            return Ok(());
        }
        let singles = &rules.single_senders;
        let singles = self.heed(stage, account, SectionName::SingleSenders, singles)?;
        let single = singles.as_ref().map(|singles| {
            let verified = singles.value.verified(address);
            let (says, value) = if verified {
                (Says::Allow, "verified")
            } else {
                (Says::Refuse, "not a verified sender")
            };
            self.note_provided(stage, says, address, singles.of, value);
            verified
        });
        match (domains, single) {
            // What one section refuses, the other could allow: both must be known.
            (Some(domains), Some(false)) => Err(unverified(domains.of, address, place)),
            _ => Ok(()),
        }
    }
}

fn unverified(of: Provided<'_>, address: &Mailbox, place: Place) -> Refusal {
    let (account, domain) = (of.account, address.domain());
    let hint = format!(
        "no verified domain or single sender of account {account} covers {address}: `api domain add --domain \
         {domain}` and `api domain verify`{}",
        place.remedy()
    );
    of.refusal(place.not_verified(address), address, hint)
}

impl Place {
    fn remedy(self) -> &'static str {
        match self {
            Self::Override => "; it is the device's from_address",
            _ => "; or replace the sender with from_override",
        }
    }
}

/// A list's mode and the entry that covers an address.
struct Listed<'a>(ListMode, Option<&'a str>);

impl std::fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.word())?;
        match (self.0, self.1) {
            (ListMode::Disabled, _) => Ok(()),
            (_, Some(entry)) => write!(f, ", {entry} is on it"),
            (_, None) => f.write_str(", not on it"),
        }
    }
}

/// A header that names senders in one From, and few other fields.
fn countable(header: &HeaderSender) -> Result<(), Refusal> {
    match header {
        HeaderSender::Several => Err(Refusal::ours(
            reply::TWO_FROM_HEADERS,
            "two readers would see two different senders",
        )),
        HeaderSender::TooMany => Err(Refusal::ours(
            reply::TOO_MANY_SENDER_HEADERS,
            "no mail program writes such a header: a faulty client, or an attack",
        )),
        _ => Ok(()),
    }
}
