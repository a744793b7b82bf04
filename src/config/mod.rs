//! From what was written to what the program needs.
//!
//! Layers (reference, file, environment, flags) are merged into one tree of [`Settings`]; resolving
//! it gives a [`Config`] in which everything is parsed and cross-checked, or *all* mistakes at once,
//! each with its key, its value and what was expected. Nothing is bound or opened before that.
//!
//! # Failure
//! [`ConfigError`] lists every mistake; the program exits with 78.

mod model;
mod reader;
mod resolve;
mod secret;
mod settings;

pub use model::{
    AccountConfig, AdminConfig, Config, Credential, DeviceConfig, ForwardConfig, HeadersConfig,
    IpConfig, ListenerConfig, LogConfig, LogFormat, Profile, SpoolConfig, SyncConfig, TlsConfig,
    TlsMode, UnknownPolicy,
};
pub use secret::Secret;
pub use settings::{ConfigError, Mistake, Origin, REFERENCE, Settings, Sources};
