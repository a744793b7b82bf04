#![doc = include_str!("README.md")]

pub mod clock;
pub mod config;
pub mod http;
pub mod journal;
pub mod mail;
pub mod message;
pub mod session;
pub mod spool;
pub mod telemetry;
