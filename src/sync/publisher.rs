//! The one place where configuration and the provider's rules come together.

use std::sync::Arc;

use tokio::sync::watch;

use crate::rules::{AccountRules, KnowledgeRule, Rules};

/// Publishes one immutable copy after the other.
#[derive(Clone, Debug)]
pub struct Publisher(Arc<watch::Sender<Arc<Rules>>>);

impl Publisher {
    /// Begins with what the configuration says.
    pub fn new(configured: Rules) -> Self {
        Self(Arc::new(watch::Sender::new(Arc::new(configured))))
    }

    /// The rules now, and whenever they change.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Rules>> {
        self.0.subscribe()
    }

    /// The rules now.
    pub fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.0.borrow())
    }

    /// The configuration has changed; what the provider says stays.
    pub fn configure(&self, configured: Rules) {
        self.0.send_modify(|rules| {
            let accounts = rules.accounts.clone();
            let knowledge = KnowledgeRule {
                // Whoever watches over the age of rules goes on by the old one.
                stale_after: rules.knowledge.stale_after,
                ..configured.knowledge
            };
            *rules = Arc::new(Rules {
                accounts,
                knowledge,
                ..configured
            });
        });
    }

    /// What the provider says of an account has changed.
    pub(super) fn set_account(&self, account: &Arc<str>, known: AccountRules) {
        self.0.send_modify(|rules| {
            let mut changed = Rules::clone(rules);
            changed
                .accounts
                .insert(Arc::clone(account), Arc::new(known));
            *rules = Arc::new(changed);
        });
    }
}
