//! Whether a list that has suddenly shrunk is believed: pure.
//!
//! An outage at the provider, a wrong key or a changed answer can make a full list look empty. Believed at once, it
//! would stop every device, or let mail out that is blocked. So the old list is kept for a grace period, with an
//! alarm; what still looks the same then is believed.

use std::time::Duration;

use crate::clock::Timestamp;

/// Since when a list looks shrunken.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ShrinkGuard {
    since: Option<Timestamp>,
}

impl ShrinkGuard {
    /// Whether the new list is believed.
    pub(super) fn believes(
        &mut self,
        (before, after): (usize, usize),
        emptied_min: usize,
        grace: Duration,
        now: Timestamp,
    ) -> bool {
        let emptied = before >= emptied_min && after == 0;
        let collapsed = before >= COLLAPSED_MIN && after < before / 10;
        if !(emptied || collapsed) {
            self.since = None;
            return true;
        }
        let since = *self.since.get_or_insert(now);
        if now.since(since) >= grace {
            self.since = None;
            return true;
        }
        false
    }

    /// Since when it is kept from being believed.
    pub(super) fn since(self) -> Option<Timestamp> {
        self.since
    }
}

const COLLAPSED_MIN: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sudden_emptying_is_believed_only_after_its_grace() {
        let grace = Duration::from_secs(3600);
        let at = |minute: i64| Timestamp(minute * 60_000);
        let mut guard = ShrinkGuard::default();
        assert!(guard.believes((1, 0), 2, grace, at(0)), "the last entry");
        assert!(!guard.believes((1, 0), 1, grace, at(0)), "the only domain");
        assert!(guard.believes((1, 1), 1, grace, at(0)));
        assert!(guard.believes((50, 6), 2, grace, at(0)), "cleaned up");
        assert!(guard.believes((0, 0), 2, grace, at(0)));
        assert!(!guard.believes((2, 0), 2, grace, at(0)));
        assert!(!guard.believes((2, 0), 2, grace, at(59)));
        assert!(guard.believes((2, 2), 2, grace, at(59)), "it is back");
        assert!(
            !guard.believes((2, 0), 2, grace, at(60)),
            "the grace begins anew"
        );
        assert!(guard.believes((2, 0), 2, grace, at(120)));
        assert!(!guard.believes((200_000, 19_999), 2, grace, at(0)));
        assert!(ShrinkGuard::default().believes((9, 0), 2, Duration::ZERO, at(0)));
    }
}
