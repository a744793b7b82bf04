//! Wiring: the only module that knows every other.
//!
//! [`Gateway::start`] turns a checked configuration into a running gateway, [`Gateway::stop`] drains
//! it. [`Demo`] puts a gateway and a simulator into one process.

mod demo;
mod gateway;
mod parts;
mod surroundings;

pub use demo::{Demo, DemoError, DemoSettings};
pub use gateway::{Gateway, StartError};
pub use parts::{check_files, provider};
pub use surroundings::{Others, in_container, other_writers, shared_addresses};
