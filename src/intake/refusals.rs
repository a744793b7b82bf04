//! What was refused, kept with the rules that took part, and told to whoever keeps the rules fresh.

use std::sync::PoisonError;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::mail::{HeaderSender, Identity, Mailbox, Reply, ReversePath, SessionFacts};
use crate::policy::{Policy, Refusal};
use crate::rules::{Explanation, Rules};

use super::context::Intake;

/// A refusal as it is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct RefusalRecord {
    /// When.
    pub at: Timestamp,
    /// The session in the log.
    pub session: String,
    /// The listener's name.
    pub listener: String,
    /// The client's address.
    pub peer: String,
    /// The device or SMTP user that signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity: Option<String>,
    /// sign-in, sender, recipient or message.
    pub stage: String,
    /// The address that it was about; empty where there is none.
    pub subject: String,
    /// What the client was told.
    pub reply: String,
    /// What to change.
    pub hint: String,
    /// Every rule that took part.
    pub rules: Explanation,
}

/// What was asked when it was refused.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage<'a> {
    SignIn,
    Sender(&'a ReversePath),
    Recipient(&'a Mailbox),
    Message(&'a ReversePath, &'a HeaderSender),
}

impl Stage<'_> {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::SignIn => "sign-in",
            Self::Sender(_) => "sender",
            Self::Recipient(_) => "recipient",
            Self::Message(..) => "message",
        }
    }

    fn subject(self) -> String {
        match self {
            Self::SignIn => String::new(),
            Self::Sender(path) | Self::Message(path, _) => path.to_string(),
            Self::Recipient(recipient) => recipient.to_string(),
        }
    }

    /// Asks again; this time every rule that takes part is written down.
    fn ask(self, policy: &Policy<'_>, identity: Option<&Identity>) -> Result<(), Refusal> {
        if let (Self::SignIn, Some(identity)) = (self, identity) {
            return policy.sign_in(identity);
        }
        let submitter = policy.submitter()?;
        match self {
            Self::SignIn => Ok(()),
            Self::Sender(path) => policy.sender(&submitter, path),
            Self::Recipient(recipient) => policy.recipient(&submitter, recipient),
            Self::Message(path, header) => policy.message(&submitter, path, header).map(drop),
        }
    }
}

impl Intake {
    /// Writes a refusal down, keeps it with its explanation, and gives the reply.
    pub(super) fn refuse(
        &self,
        facts: &SessionFacts,
        rules: &Rules,
        stage: Stage<'_>,
        device: Option<&str>,
        refusal: Refusal,
    ) -> Reply {
        self.journal
            .refused(facts, stage.word(), device, &refusal.reply, &refusal.hint);
        self.keep_refusal(facts, rules, stage, &refusal);
        refusal.reply
    }

    /// Keeps a refusal with its explanation. A rule of the provider's that refused may have changed meanwhile:
    /// whoever keeps the rules fresh hears of it, so that the next try passes.
    pub(super) fn keep_refusal(
        &self,
        facts: &SessionFacts,
        rules: &Rules,
        stage: Stage<'_>,
        refusal: &Refusal,
    ) {
        if let Some(wanted) = &refusal.revalidate {
            // With so many requests waiting the rules are being fetched anyway.
            drop(self.revalidations.try_send(wanted.clone()));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if !kept.take(self.clock.now()) {
            return;
        }
        drop(kept);
        let at = self.clock.wall();
        let policy = Policy::explaining(rules, facts, at);
        // The answer is known; what counts are the rules that took part in it.
        drop(stage.ask(&policy, facts.identity.as_ref()));
        let record = RefusalRecord {
            at,
            session: facts.session.to_string(),
            listener: facts.listener.to_string(),
            peer: facts.address().to_string(),
            identity: facts
                .identity
                .as_ref()
                .map(|identity| identity.name().to_string()),
            stage: stage.word().to_owned(),
            subject: stage.subject(),
            reply: refusal.reply.to_string(),
            hint: refusal.hint.clone(),
            rules: policy.into_explanation(),
        };
        match serde_json::to_string(&record) {
            Ok(record) => self.spool.note_refusal(record),
            Err(error) => tracing::debug!(%error, "a refusal can't be written down"),
        }
    }
}
