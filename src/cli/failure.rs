//! How a command fails: words, hint, exit code.

use std::error::Error;

use crate::config::ConfigError;
use crate::journal::ErrorChain;

/// A failed command.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) words: String,
    pub(super) hint: String,
    pub(super) code: u8,
}

impl Failure {
    pub(super) fn new(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            hint: String::new(),
            code: 1,
        }
    }

    pub(super) fn of(error: &dyn Error) -> Self {
        Self::new(ErrorChain(error).to_string())
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Self {
        Self {
            hint: hint.into(),
            ..self
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self {
            words: error.to_string(),
            hint: "every key is explained in config/gateway.toml".to_owned(),
            // EX_CONFIG of sysexits.h.
            code: 78,
        }
    }
}
