#![doc = include_str!("README.md")]

pub mod clock;
pub mod mail;
pub mod message;
pub mod session;
