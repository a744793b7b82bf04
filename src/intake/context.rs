//! What all sessions share: the spool, the rules, who may sign in, and what slows guessing.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::{mpsc, watch};

use crate::auth::{Authenticator, SignInThrottle};
use crate::clock::Clock;
use crate::journal::Journal;
use crate::mail::ReceivedDetail;
use crate::message::{LoopLimits, PlanSettings};
use crate::policy::Revalidation;
use crate::resilience::FixedWindow;
use crate::rules::Rules;
use crate::spool::{Space, SpaceLimits, Spool};

use super::turns::Turns;

/// What all sessions share.
#[derive(Debug)]
pub struct Intake {
    pub(super) spool: Spool,
    pub(super) space: Space,
    pub(super) clock: Clock,
    pub(super) journal: Journal,
    pub(super) settings: IntakeSettings,
    pub(super) rules: watch::Receiver<Arc<Rules>>,
    pub(super) authenticator: Arc<ArcSwap<Authenticator>>,
    pub(super) guard: Mutex<SignInThrottle>,
    pub(super) kept: Mutex<FixedWindow>,
    /// Where rules are reported that refused something and may have changed meanwhile.
    pub(super) revalidations: mpsc::Sender<Revalidation>,
    pub(super) turns: Turns,
}

/// How messages are accepted.
#[derive(Clone, Debug)]
pub struct IntakeSettings {
    /// Our name in `Received:` and generated Message-IDs.
    pub hostname: String,
    /// What to do where headers and envelope differ.
    pub plan: PlanSettings,
    /// What Received: tells of the client.
    pub received: ReceivedDetail,
    /// When a message goes round in a circle.
    pub loops: LoopLimits,
    /// Octets of a header block.
    pub head_octets_max: usize,
    /// How much may be stored.
    pub space: SpaceLimits,
}

impl Intake {
    /// An intake into `spool`.
    pub fn new(
        spool: Spool,
        rules: watch::Receiver<Arc<Rules>>,
        authenticator: Arc<ArcSwap<Authenticator>>,
        revalidations: mpsc::Sender<Revalidation>,
        (journal, clock): (Journal, Clock),
        settings: IntakeSettings,
    ) -> Self {
        Self {
            space: Space::new(spool.clone(), settings.space.clone(), clock),
            spool,
            clock,
            journal,
            settings,
            rules,
            authenticator,
            guard: Mutex::default(),
            kept: Mutex::new(KEPT),
            revalidations,
            turns: Turns::default(),
        }
    }

    /// Whether anybody can sign in at all.
    pub fn has_users(&self) -> bool {
        self.authenticator.load().has_users(&self.rules())
    }

    /// Whether there is room for mail.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Whether a device can sign in.
    pub fn has_devices(&self) -> bool {
        self.authenticator.load().has_devices()
    }

    /// Whether the settings name this address.
    pub fn names(&self, listener: &str, address: IpAddr) -> bool {
        self.rules.borrow().names(listener, address)
    }

    /// The rules as they are now.
    pub(super) fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.rules.borrow())
    }

    pub(super) fn guard(&self) -> MutexGuard<'_, SignInThrottle> {
        self.guard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whoever is refused in a loop must not take the disk from the others. The log has them all.
const KEPT: FixedWindow = FixedWindow::new(20, Duration::from_secs(1));
