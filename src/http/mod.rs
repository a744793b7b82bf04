//! How HTTP is spoken, in either direction.

mod client;
mod server;

pub use client::{ClientError, ClientSettings, client};
pub use server::{ServerError, serve};
