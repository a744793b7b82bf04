//! One case, decided from its beginning to its end, with every rule that took part.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::mail::{HeaderSender, Mailbox, ReversePath, SessionFacts};
use crate::rules::{Explanation, Rules};

use super::{Policy, Refusal, SenderAction};

/// A message that somebody might send.
#[derive(Clone, Debug)]
pub struct Case {
    /// Who and where; `identity` is taken as proven.
    pub facts: SessionFacts,
    /// What MAIL would say; `None`: it is not asked.
    pub reverse_path: Option<ReversePath>,
    /// What the header would say; `None`: it is not asked.
    pub header: Option<HeaderSender>,
    /// What RCPT would say.
    pub recipients: Vec<Mailbox>,
}

/// What would become of it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Explained {
    /// Whether it would be accepted.
    pub accepted: bool,
    /// The reply it would get; `250 2.0.0 ok` where it would be accepted.
    pub reply: String,
    /// What to change; empty where nothing needs to.
    pub hint: String,
    /// Such as `override scan@example.com`; empty where the sender stays.
    pub sender_action: String,
    /// The account; empty where nothing allows the client to submit.
    pub account: String,
    /// The device; empty where there is none.
    pub device: String,
    /// Every rule that took part.
    pub rules: Explanation,
}

impl Case {
    /// Decides it.
    pub fn explain(&self, rules: &Rules, now: Timestamp) -> Explained {
        let policy = Policy::explaining(rules, &self.facts, now);
        let mut explained = Explained {
            accepted: false,
            reply: "250 2.0.0 ok".to_owned(),
            hint: String::new(),
            sender_action: String::new(),
            account: String::new(),
            device: String::new(),
            rules: Explanation::default(),
        };
        match self.decide(&policy, &mut explained) {
            Ok(()) => explained.accepted = true,
            Err(refusal) => {
                explained.reply = refusal.reply.to_string();
                explained.hint = refusal.hint;
            }
        }
        explained.rules = policy.into_explanation();
        explained
    }

    fn decide(&self, policy: &Policy<'_>, explained: &mut Explained) -> Result<(), Refusal> {
        let submitter = policy.submitter()?;
        explained.account = submitter.account.to_string();
        let device = submitter.device.as_ref();
        explained.device = device.map(ToString::to_string).unwrap_or_default();
        if let Some(reverse_path) = &self.reverse_path {
            policy.sender(&submitter, reverse_path)?;
        }
        for recipient in &self.recipients {
            policy.recipient(&submitter, recipient)?;
        }
        if let Some(header) = &self.header {
            let null = ReversePath::Null;
            let reverse_path = self.reverse_path.as_ref().unwrap_or(&null);
            explained.sender_action = match policy.message(&submitter, reverse_path, header)? {
                SenderAction::Canonical => "write From anew".to_owned(),
                SenderAction::Keep => String::new(),
                SenderAction::Complete(sender) => format!("add From {sender}"),
                SenderAction::Override(sender) => format!("override {sender}"),
            };
        }
        Ok(())
    }
}
