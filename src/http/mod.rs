//! How HTTP is spoken, in either direction.

mod body;
mod browsers;
mod client;
mod cut;
mod encrypted;
mod line;
mod places;
mod server;

pub use browsers::{json_only, loopback_only, names_loopback};
pub use client::{ClientError, ClientSettings, client};
pub use cut::Cut;
pub use encrypted::{ServerCertificate, ServerCertificateError};
pub use places::Bounds;
pub use server::{ServerError, serve};
