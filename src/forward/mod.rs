//! Hands stored messages on to the provider, and settles what became of them.
//!
//! [`Forwarder`] runs once per account. It is woken by new mail, by the next due time and by a
//! finished attempt; it never polls. What an answer means ([`classify`]), when to try again
//! ([`Backoff`]), whether the account may send at all ([`Breaker`]), how much at once ([`ConcurrencyLimit`]) and how much
//! each SMTP user may send ([`RateLimiter`]) are pure decisions of [`crate::resilience`].
//!
//! [`Backoff`]: crate::resilience::Backoff
//! [`Breaker`]: crate::resilience::Breaker
//! [`ConcurrencyLimit`]: crate::resilience::ConcurrencyLimit
//! [`RateLimiter`]: crate::resilience::RateLimiter
//!
//! # Invariants
//! - *In flight* is durable before the first octet of a request leaves.
//! - An attempt whose outcome is unknown is never simply repeated: the provider is asked first, and a
//!   repeat is marked.
//! - A refused key, a quota or a throttle never bounces a message.

mod activity_match;
mod attempt;
mod classify;
mod confirm;
mod own_refusals;
mod payload;
mod probe;
mod trying;
mod workers;

pub use activity_match::{Evidence, Sought, find_mail};
pub use classify::{Classified, classify};
pub use own_refusals::OwnRefusals;
pub use payload::{payload_octets, upload};
pub use trying::TryingClock;
pub use workers::{ForwardSettings, Forwarder, KeyHandle, Unknown};
