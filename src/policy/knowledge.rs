//! What to do where the provider's rules are not known, or too old: the one place that decides it.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use crate::mail::{Reply, reply};
use crate::rules::{Says, Section, SectionName, Step, WhenStale, WithoutRules, age_seconds};

use super::{Policy, Refusal, Revalidation};

/// A section of the provider's rules that is to be heeded.
pub(super) struct Heeded<'a, T> {
    pub(super) value: &'a T,
    pub(super) of: Provided<'a>,
}

/// Where a rule of the provider's comes from.
#[derive(Clone, Copy)]
pub(super) struct Provided<'a> {
    pub(super) account: &'a Arc<str>,
    pub(super) section: SectionName,
    pub(super) age: Option<Duration>,
}

impl Provided<'_> {
    /// A refusal that follows from it.
    pub(super) fn refusal(&self, reply: Reply, subject: impl Display, hint: String) -> Refusal {
        Refusal {
            reply,
            hint,
            revalidate: Some(Revalidation {
                account: Arc::clone(self.account),
                section: self.section,
                subject: subject.to_string(),
            }),
        }
    }
}

impl Policy<'_> {
    /// The section, where it counts; `None` where the configuration alone decides.
    pub(super) fn heed<'a, T>(
        &self,
        stage: &str,
        account: &'a Arc<str>,
        section: SectionName,
        of: &'a Section<T>,
    ) -> Result<Option<Heeded<'a, T>>, Refusal> {
        let knowledge = &self.rules.knowledge;
        let age = of.age(self.now);
        let provided = Provided {
            account,
            section,
            age,
        };
        let without = |reply: Reply, refuse: bool, words: &str| {
            let says = if refuse { Says::Refuse } else { Says::Nothing };
            self.note_provided(stage, says, "", provided, words);
            if !refuse {
                return Ok(None);
            }
            let hint = format!(
                "{account}/{section} is {words}: see `rules show` and `doctor`; sync.without_rules and \
                 sync.when_stale say what to do then"
            );
            Err(provided.refusal(reply, "", hint))
        };
        let Some(value) = of.value() else {
            let refuse = knowledge.unknown == WithoutRules::Refuse;
            return without(reply::RULES_UNKNOWN, refuse, "not known");
        };
        if age.is_some_and(|age| age > knowledge.stale_after) {
            match knowledge.stale {
                WhenStale::Enforce => {}
                WhenStale::Refuse => return without(reply::RULES_STALE, true, "too old"),
                WhenStale::Devices => return without(reply::RULES_STALE, false, "too old"),
            }
        }
        Ok(Some(Heeded {
            value: value.as_ref(),
            of: provided,
        }))
    }

    /// A rule of the provider's.
    pub(super) fn note_provided(
        &self,
        stage: &str,
        says: Says,
        subject: impl Display,
        of: Provided<'_>,
        value: impl Display,
    ) {
        self.note(|| Step {
            stage: stage.to_owned(),
            says,
            subject: subject.to_string(),
            source: format!("{}/{}", of.account, of.section),
            value: value.to_string(),
            age: age_seconds(of.age),
        });
    }
}
