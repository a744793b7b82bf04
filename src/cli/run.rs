//! `run`, `simulator`, `check`: the commands that need no other process.

use std::path::PathBuf;

use tokio_util::sync::CancellationToken;

use crate::app::{self, Gateway, StartError};
use crate::config::{Config, ConfigError, LogFormat, Settings, Sources};
use crate::http::ServerCertificate;
use crate::simulator::{self, SimulatedAccount, Simulator};
use crate::telemetry;

use super::arguments::SimulatorOptions;
use super::failure::Failure;
use super::signals::{Signal, Signals};
use super::supervisor;
use super::terminal::{note, say};

/// The gateway, until it is told to stop.
pub(super) async fn run(file: Option<PathBuf>) -> Result<(), Failure> {
    let config = load(file.clone())?;
    let format = match config.log.format {
        LogFormat::Text => telemetry::Format::Text,
        LogFormat::Json => telemetry::Format::Json,
    };
    telemetry::start_logging(format, &config.log.level);
    let mut signals = Signals::new(file.clone())?;
    let mut gateway = Gateway::start(&config).await.map_err(Failure::from)?;
    supervisor::ready();
    let watchdog = supervisor::watch(gateway.spool().clone());
    while signals.next().await == Signal::Reload {
        supervisor::reloading();
        reload(&mut gateway, file.clone());
        supervisor::ready();
    }
    supervisor::stopping();
    gateway.stop().await;
    watchdog.abort();
    Ok(())
}

fn load(file: Option<PathBuf>) -> Result<Config, ConfigError> {
    let settings = Settings::load(&Sources::from_process(file))?;
    Config::resolve(&settings)
}

/// SIGHUP, or a changed file: what can be taken over is; on any mistake everything stays as it was.
fn reload(gateway: &mut Gateway, file: Option<PathBuf>) {
    let config = match load(file) {
        Ok(config) => config,
        Err(error) => {
            for mistake in &error.mistakes {
                tracing::error!(%mistake, "settings not reloaded, the old ones stay");
            }
            return;
        }
    };
    match gateway.reload(&config) {
        Ok(keys) if keys.is_empty() => tracing::info!("settings reloaded"),
        Ok(keys) => {
            let need_restart = keys.join(", ");
            tracing::warn!(
                need_restart,
                "devices, trust and keys reloaded, the rest needs a restart"
            );
        }
        Err(error) => tracing::error!(%error, "settings not reloaded, the old ones stay"),
    }
}

/// Validates, and prints what is in force.
pub(super) fn check(file: Option<PathBuf>) -> Result<(), Failure> {
    let settings = Settings::load(&Sources::from_process(file))?;
    let config = Config::resolve(&settings)?;
    app::check_files(&config)?;
    say(&settings.masked())?;
    note("settings are valid\n");
    Ok(())
}

/// The simulated provider, until it is told to stop.
pub(super) async fn simulator(options: SimulatorOptions) -> Result<(), Failure> {
    telemetry::start_logging(telemetry::Format::Text, "info");
    // Before anybody is told that it runs: whoever knows may stop it.
    let mut signals = Signals::new(None)?;
    let stop = CancellationToken::new();
    let account = SimulatedAccount::sample(&options.api_key);
    let certificate = options.tls_cert.zip(options.tls_key);
    let certificate = certificate.map(|(cert_file, key_file)| ServerCertificate {
        cert_file,
        key_file,
    });
    let more = simulator::SimulatorOptions {
        certificate,
        state: options.state,
        call_limits: true,
    };
    let started = Simulator::start_with(options.bind, account, more, stop.clone()).await;
    let simulator = started.map_err(|error| Failure::of(&error))?;
    let base = simulator.api_url();
    say(&format!(
        "api_url   {base}\napi_key   {}\ndelivered {}/_deliveries\n",
        options.api_key,
        base.trim_end_matches("/v3")
    ))?;
    signals.stop().await;
    stop.cancel();
    Ok(())
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        Self::of(&error).hint(error.hint())
    }
}
