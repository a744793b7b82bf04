//! How a command fails: words, hint, exit code.

use std::error::Error;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::journal::ErrorChain;

use super::terminal::note;

/// A failed command.
#[derive(Debug)]
pub(super) struct Failure {
    words: String,
    hint: String,
    code: u8,
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

    /// Says it on standard error.
    pub(super) fn report(&self) -> ExitCode {
        note(&format!("error: {}\n", self.words));
        if !self.hint.is_empty() {
            note(&format!("hint: {}\n", self.hint));
        }
        ExitCode::from(self.code)
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
