//! Tells a mail that is refused for itself from an account that is: the words of a refusal may be the mail's own.
//!
//! A refusal for the account's sake is no fault of the mail, so that its trying time does not run and it goes first when
//! the account may send again. A mail whose own refusal has such words would pause the account again and again, and never
//! be given up. So where other mail was taken between two such refusals of one mail, the second is taken for its own.
//! Pure.

use std::collections::HashMap;

use crate::mail::DispatchId;

/// See the module's documentation. What was seen before a start is forgotten.
#[derive(Debug, Default)]
pub struct OwnRefusals {
    /// How often mail was taken.
    taken: u64,
    /// That number when each was last refused for the account's sake.
    refused: HashMap<DispatchId, u64>,
}

impl OwnRefusals {
    /// A mail was taken.
    pub fn taken(&mut self) {
        self.taken += 1;
    }

    /// A mail was refused in words about the account; returns whether they are about the mail.
    pub fn is_own(&mut self, id: DispatchId) -> bool {
        if self.refused.len() >= REMEMBERED_MAX {
            self.refused.clear();
        }
        let before = self.refused.insert(id, self.taken);
        before.is_some_and(|before| before < self.taken)
    }
}

/// A hundred kilobytes; more are refused together only where it is the account.
const REMEMBERED_MAX: usize = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::SpoolId;

    #[test]
    fn a_mail_that_is_refused_again_after_others_were_taken_is_refused_for_itself() {
        let spool_id = SpoolId::new(0);
        let id = |number| DispatchId { spool_id, number };
        let mut refusals = OwnRefusals::default();
        refusals.taken();
        assert!(!refusals.is_own(id(1)), "the first time");
        assert!(!refusals.is_own(id(1)), "nothing was taken since");
        assert!(!refusals.is_own(id(2)), "another one");
        refusals.taken();
        assert!(refusals.is_own(id(1)) && refusals.is_own(id(2)));
        assert!(!refusals.is_own(id(3)));
        for number in 10..3_000 {
            assert!(!refusals.is_own(id(number)));
        }
        assert!(refusals.refused.len() <= REMEMBERED_MAX);
    }
}
