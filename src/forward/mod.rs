//! Hands stored messages on to the provider, and settles what became of them.
//!
//! [`Forwarder`] runs once per account. It is woken by new mail, by the next due time and by a
//! finished attempt; it never polls. What an answer means ([`classify`]), when to try again
//! ([`Backoff`]), whether the account may send at all ([`Breaker`]), how much at once ([`Window`]) and how much each
//! SMTP user may send ([`Pace`]) are pure decisions; the rest is plumbing around them.
//!
//! # Invariants
//! - *In flight* is durable before the first octet of a request leaves.
//! - An attempt whose outcome is unknown is never simply repeated: the provider is asked first, and a
//!   repeat is marked.
//! - A refused key, a quota or a throttle never bounces a message.

mod attempt;
mod breaker;
mod classify;
mod confirm;
mod doubts;
mod pace;
mod payload;
mod probe;
mod schedule;
mod trying;
mod window;
mod workers;

pub use breaker::{Breaker, BreakerSettings, Cause, Notice, Permit};
pub use classify::{AccountSignal, Classified, classify};
pub use confirm::{Evidence, Sought, find_mail};
pub use pace::Pace;
pub use payload::{payload_octets, upload};
pub use schedule::Backoff;
pub use trying::TryingClock;
pub use window::Window;
pub use workers::{ForwardSettings, Forwarder, KeyHandle, Unknown};
