//! Who may send, as whom, to whom: pure decisions over one immutable [`Rules`].
//!
//! Nothing is allowed unless something allows it: a credential, a device's address, or a trusted network of the
//! listener. Then, in this order, everything that has a say is asked, and all of it must agree:
//!
//! | stage | asks |
//! | --- | --- |
//! | connect | networks of the device, trust of the listener, the provider's IP lists (`ip.source`) |
//! | tls | whether the connection must be encrypted |
//! | sign-in | whether the SMTP user at the provider may send |
//! | sender | the device's own list; the account's list, or its verified domains and single senders |
//! | recipient | suppressions, the account's list of allowed recipients |
//! | message | the sender rules once more, for every address of From and Sender |
//!
//! The provider's list of allowed senders, where it is switched on, takes the place of verified domains and single
//! senders, as it does there (provider-api 10). What is not known of the provider's rules is handled in one
//! place (`knowledge.rs`).
//!
//! Every refusal says which rule it follows from; [`Policy::explaining`] writes down all rules that took part.

mod connect;
mod explain;
mod knowledge;
mod recipient;
mod sender;

pub use explain::{Case, Explained};

use std::cell::RefCell;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::mail::{Mailbox, Reply, SessionFacts};
use crate::rules::{DeviceRule, Explanation, Rules, Says, SectionName, Step, Submitter};

/// Decides about one session by one copy of the rules.
#[derive(Debug)]
pub struct Policy<'r> {
    rules: &'r Rules,
    facts: &'r SessionFacts,
    now: Timestamp,
    steps: Option<RefCell<Vec<Step>>>,
}

/// A decision against the client.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    /// What the client is told.
    pub reply: Reply,
    /// What the operator is told: the setting it follows from, and what to change.
    pub hint: String,
    /// The provider's rule behind it, which may have changed meanwhile.
    pub revalidate: Option<Revalidation>,
}

/// A rule of the provider's that refused something.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Revalidation {
    /// The account the rule belongs to.
    pub account: Arc<str>,
    /// The section that contains it.
    pub section: SectionName,
    /// What it refused, such as an address.
    pub subject: String,
}

impl Refusal {
    /// A refusal that follows from a setting of ours.
    pub fn ours(reply: Reply, hint: impl Into<String>) -> Self {
        Self {
            reply,
            hint: hint.into(),
            revalidate: None,
        }
    }
}

/// More than any decision about one sender and one recipient takes.
const STEPS_MAX: usize = 64;

/// What happens to a message's sender.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum SenderAction {
    /// From, which can be read in two ways, is written in one.
    Canonical,
    /// It stays.
    Keep,
    /// The header lacks one; this one is added.
    Complete(Mailbox),
    /// Envelope, From and Sender become this one.
    Override(Mailbox),
}

impl<'r> Policy<'r> {
    /// For a session, by these rules, at this time.
    pub fn new(rules: &'r Rules, facts: &'r SessionFacts, now: Timestamp) -> Self {
        Self {
            rules,
            facts,
            now,
            steps: None,
        }
    }

    /// The same, and every rule that takes part is written down.
    pub fn explaining(rules: &'r Rules, facts: &'r SessionFacts, now: Timestamp) -> Self {
        Self {
            steps: Some(RefCell::default()),
            ..Self::new(rules, facts, now)
        }
    }

    /// What was written down.
    pub fn into_explanation(self) -> Explanation {
        Explanation(self.steps.map(RefCell::into_inner).unwrap_or_default())
    }

    /// Builds the text only when an explanation was requested.
    fn note(&self, step: impl FnOnce() -> Step) {
        if let Some(steps) = &self.steps {
            let mut steps = steps.borrow_mut();
            // A header may name thousands of senders. The last rule is the one that decided.
            if steps.len() == STEPS_MAX {
                steps.pop();
            }
            steps.push(step());
        }
    }

    /// A rule of our own settings.
    fn note_setting(
        &self,
        stage: &str,
        says: Says,
        subject: impl std::fmt::Display,
        source: impl std::fmt::Display,
        value: impl std::fmt::Display,
    ) {
        self.note(|| Step {
            stage: stage.to_owned(),
            says,
            subject: subject.to_string(),
            source: source.to_string(),
            value: value.to_string(),
            age: None,
        });
    }

    fn device(&self, submitter: &Submitter) -> Option<(&'r Arc<str>, &'r DeviceRule)> {
        self.rules.devices.get_key_value(submitter.device.as_ref()?)
    }
}
