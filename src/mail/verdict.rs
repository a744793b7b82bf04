//! Answers of a decision.

use super::Reply;

/// Policy's answer to one question of a session.
#[derive(Clone, Debug, Eq, PartialEq)]
#[must_use = "an unanswered question stalls the session"]
pub enum Verdict {
    /// Go on.
    Accept,
    /// Say this and stay connected.
    Refuse(Reply),
}
