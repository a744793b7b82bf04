//! Rules that refused something and may have changed meanwhile: looked at again, bounded.

use std::sync::Arc;
use std::time::Duration;

use crate::mail::Mailbox;
use crate::policy::Revalidation;
use crate::rules::{SectionName, Suppressions};

use super::held::{Held, lock};
use super::refresher::Synchroniser;
use super::snapshot::Header;
use super::values::SectionValue;

impl Synchroniser {
    pub(super) async fn revalidate(&mut self, wanted: Revalidation) {
        let now = self.now();
        // Where looks fail they have their own pace: errors count against the whole site (provider-api 4).
        let fresh = |held: &Held| held.fresh;
        if now < self.paused_until || !lock(&self.held).get(&wanted.section).is_some_and(fresh) {
            return;
        }
        if wanted.section == SectionName::Suppressions {
            self.settle_suppression(&wanted.subject).await;
            return;
        }
        let pause = REVALIDATION_PAUSE.min(self.settings.interval);
        let looked_at = lock(&self.held)
            .get(&wanted.section)
            .and_then(|held| held.looked_at);
        if looked_at.is_some_and(|at| now.saturating_duration_since(at) < pause) {
            return;
        }
        // What one of these refuses, the others might allow.
        let senders = [
            SectionName::Domains,
            SectionName::SingleSenders,
            SectionName::AllowedSenders,
        ];
        let sections = match wanted.section {
            section if senders.contains(&section) => senders.to_vec(),
            section => vec![section],
        };
        for section in sections {
            if !self.look(section, false).await {
                break;
            }
        }
    }

    /// One address is asked about, instead of two hundred thousand.
    async fn settle_suppression(&mut self, recipient: &str) {
        let Ok(mailbox) = Mailbox::parse(recipient) else {
            return;
        };
        if !self.questions.take(self.clock.now()) {
            return;
        }
        let (known, header) = {
            let held = lock(&self.held);
            let Some(held) = held.get(&SectionName::Suppressions) else {
                return;
            };
            match &held.value {
                Some(SectionValue::Suppressions(known)) => (Arc::clone(known), held.header.clone()),
                _ => return,
            }
        };
        let Some((entry, _)) = known.covering(&mailbox) else {
            return;
        };
        let entry: Box<str> = entry.into();
        match self.fetcher.suppression_of(&entry).await {
            Ok(true) => {}
            Ok(false) => self.forget_suppression(&known, entry, header).await,
            Err(error) => {
                let looked_at = self.now();
                self.failed(SectionName::Suppressions, &error, looked_at);
            }
        }
    }

    /// Says nothing about the section as a whole: neither that it was confirmed, nor that it is well.
    async fn forget_suppression(
        &mut self,
        known: &Suppressions,
        entry: Box<str>,
        header: Option<Header>,
    ) {
        let value = Arc::new(known.with([(entry.as_ref(), None)]));
        let value = SectionValue::Suppressions(value);
        let Some(mut fresh) = header.clone() else {
            return;
        };
        fresh.digest = value.digest();
        let changes = Some(vec![(entry, None)]);
        self.put_in_force(value, (header.as_ref(), fresh), changes, None)
            .await;
    }
}

/// A refusal has its section looked at again, but not more often than this.
const REVALIDATION_PAUSE: Duration = Duration::from_secs(5);
