//! Promises, checked from outside: each file is a subject, each function a promise.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod support;

mod architecture;
mod classify;
mod delivery;
mod plan_property;
mod provider_trouble;
mod spool_contract;
mod transcripts;
mod who_may;
