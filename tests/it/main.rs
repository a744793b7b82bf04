//! Promises, checked from outside: each file is a subject, each function a promise.

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod support;

mod abuse;
mod answers;
mod api_commands;
mod architecture;
mod catalogue;
mod classify;
mod configuration;
mod delivery;
mod differential;
mod documents;
mod encryption;
mod faults;
mod files;
mod operators;
mod plan_property;
mod policy_property;
mod policy_table;
mod provider_trouble;
mod reach;
mod restart;
mod rules;
mod rules_commands;
mod service;
mod spool_contract;
mod stream_properties;
mod transcripts;
mod who_may;
