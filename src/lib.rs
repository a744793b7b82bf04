#![doc = include_str!("README.md")]

pub mod auth;
pub mod clock;
pub mod config;
pub mod forward;
pub mod http;
pub mod intake;
pub mod journal;
pub mod mail;
pub mod message;
pub mod policy;
pub mod provider;
pub mod session;
pub mod spool;
pub mod telemetry;
