//! To whom mail may go.

use crate::mail::{Mailbox, reply};
use crate::rules::{Says, SectionName, Submitter};

use super::{Policy, Refusal};

const STAGE: &str = "recipient";

impl Policy<'_> {
    /// Whether the account may send to this address.
    ///
    /// # Errors
    /// When it is suppressed, or the account may send to others only.
    pub fn recipient(&self, submitter: &Submitter, recipient: &Mailbox) -> Result<(), Refusal> {
        let account = &submitter.account;
        let rules = self.rules.account(account);
        let section = SectionName::Suppressions;
        if let Some(heeded) = self.heed(STAGE, account, section, &rules.suppressions)? {
            let Some((entry, reason)) = heeded.value.covering(recipient) else {
                self.note_provided(STAGE, Says::Allow, recipient, heeded.of, "not suppressed");
                return self.on_list(submitter, recipient);
            };
            let value = format!("{entry}: {}", reason.word());
            self.note_provided(STAGE, Says::Refuse, recipient, heeded.of, value);
            let reply = reply::recipient_suppressed(recipient, reason.word());
            let hint = format!(
                "{account}/{section} has {entry} ({}): `api suppression remove` ends it",
                reason.word()
            );
            return Err(heeded.of.refusal(reply, recipient, hint));
        }
        self.on_list(submitter, recipient)
    }

    fn on_list(&self, submitter: &Submitter, recipient: &Mailbox) -> Result<(), Refusal> {
        let (account, section) = (&submitter.account, SectionName::AllowedRecipients);
        let of = &self.rules.account(account).allowed_recipients;
        let Some(heeded) = self.heed(STAGE, account, section, of)? else {
            return Ok(());
        };
        if !heeded.value.enabled {
            self.note_provided(STAGE, Says::Nothing, recipient, heeded.of, "switched off");
            return Ok(());
        }
        if let Some(entry) = heeded.value.list.covering(recipient) {
            self.note_provided(STAGE, Says::Allow, recipient, heeded.of, entry);
            return Ok(());
        }
        self.note_provided(STAGE, Says::Refuse, recipient, heeded.of, "not on it");
        let hint = format!(
            "{account}/{section} is switched on and does not name {recipient}: see `api allowed-recipients view`"
        );
        let reply = reply::recipient_not_listed(recipient);
        Err(heeded.of.refusal(reply, recipient, hint))
    }
}
