//! How HTTP is spoken, in either direction.

mod client;
mod cut;
mod encrypted;
mod server;

pub use client::{ClientError, ClientSettings, client};
pub use cut::Cut;
pub use encrypted::{ServerCertificate, ServerCertificateError};
pub use server::{ServerError, serve, serve_with_cuts};
