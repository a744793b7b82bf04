//! What protects a provider from its clients, and them from it: backoff, circuit breaker, limits of concurrency and rate.
//!
//! All of it is pure: time is an argument, and nothing here waits.

mod backoff;
mod breaker;
mod concurrency;
mod rate_limit;

pub use backoff::Backoff;
pub use breaker::{AccountSignal, Breaker, BreakerSettings, Cause, Notice, Permit};
pub use concurrency::ConcurrencyLimit;
pub use rate_limit::{FixedWindow, RateLimiter};
