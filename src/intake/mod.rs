//! Accepts a message: answers the session's questions, and turns a finished draft into a spooled
//! message or a reply.
//!
//! Everything that a transaction decides is decided over the one [`Rules`] it began with. Nothing
//! here waits for the network: a reply depends on our own disk and nothing else.
//!
//! [`Rules`]: crate::rules::Rules

mod context;
mod reception;
mod refusals;
mod submission;
mod turns;

pub use context::{Intake, IntakeSettings};
pub use reception::Reception;
pub use refusals::RefusalRecord;
