//! Logging set-up, and every metric name there is.
//!
//! Log lines go to standard error, one event each, as text or JSON. Metrics are Prometheus text, with
//! label values from fixed sets only.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// How log lines look.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Format {
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// Starts logging. A second call is ignored: the first one in a process wins.
pub fn start_logging(format: Format, level: &str) {
    let filter = EnvFilter::try_new(level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_target(false);
    let started = match format {
        Format::Text => builder
            .with_ansi(std::io::stderr().is_terminal())
            .try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// The process's metrics; installed on first use.
pub fn metrics() -> &'static PrometheusHandle {
    static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
    HANDLE.get_or_init(|| {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("metrics were set up before, this process shows none");
        }
        describe();
        handle
    })
}

fn describe() {
    use metrics::{describe_counter, describe_gauge};
    describe_counter!(SESSIONS, "client connections by listener");
    describe_gauge!(SESSIONS_OPEN, "client connections open now");
    describe_counter!(SESSION_EVENTS, "troubles of sessions by kind");
    describe_counter!(SIGN_INS, "AUTH by result");
    describe_counter!(REFUSALS, "refused transactions by stage");
    describe_counter!(MESSAGES_SPOOLED, "messages accepted and stored");
    describe_counter!(SPOOLED_OCTETS, "octets of messages accepted");
    describe_counter!(ATTEMPTS, "attempts by outcome");
    describe_gauge!(QUEUE_DISPATCHES, "unsettled dispatches by state");
    describe_gauge!(SPOOL_OCTETS, "octets of the spool in use");
    describe_gauge!(QUEUE_OLDEST, "age of the oldest unsettled message, seconds");
    describe_counter!(LOOK_UPS, "doubts looked up at the provider by finding");
    describe_counter!(PROVIDER_ANSWERS, "provider answers by class");
    describe_counter!(
        RATE_LIMITED,
        "times that mail had to wait for its user's rate limit"
    );
    describe_counter!(RULES_REFRESHES, "looks at sections of the rules by result");
    describe_gauge!(RULES_AGE, "seconds since a section was last confirmed");
    describe_gauge!(RULES_ENTRIES, "entries of a section");
    describe_gauge!(
        RULES_STALE,
        "1 while a section is older than sync.stale_after"
    );
    describe_gauge!(ACCOUNT_HALTED, "1 while the account's key is refused");
    describe_gauge!(
        BREAKER_OPEN,
        "1 while nothing is sent for the account, whatever the cause"
    );
}

/// Client connections by listener.
pub const SESSIONS: &str = "gateway_sessions_total";
/// Client connections open now.
pub const SESSIONS_OPEN: &str = "gateway_sessions_open";
/// Troubles of sessions by kind.
pub const SESSION_EVENTS: &str = "gateway_session_events_total";
/// AUTH by result.
pub const SIGN_INS: &str = "gateway_sign_ins_total";
/// Refused transactions by stage.
pub const REFUSALS: &str = "gateway_refusals_total";
/// Messages accepted and stored.
pub const MESSAGES_SPOOLED: &str = "gateway_spooled_messages_total";
/// Octets of messages accepted.
pub const SPOOLED_OCTETS: &str = "gateway_spooled_octets_total";
/// Attempts by outcome.
pub const ATTEMPTS: &str = "gateway_attempts_total";
/// Unsettled dispatches by state.
pub const QUEUE_DISPATCHES: &str = "gateway_queue_dispatches";
/// Octets of the spool in use.
pub const SPOOL_OCTETS: &str = "gateway_spool_octets";
/// Age of the oldest unsettled message.
pub const QUEUE_OLDEST: &str = "gateway_queue_oldest_seconds";
/// Doubts looked up at the provider by finding.
pub const LOOK_UPS: &str = "gateway_look_ups_total";
/// Provider answers by class.
pub const PROVIDER_ANSWERS: &str = "gateway_provider_answers_total";
/// Times that mail had to wait for its user's rate limit.
pub const RATE_LIMITED: &str = "gateway_rate_limited_total";
/// Looks at sections of the rules by account, section and result.
pub const RULES_REFRESHES: &str = "gateway_rules_refreshes_total";
/// Seconds since a section of the rules was last confirmed.
pub const RULES_AGE: &str = "gateway_rules_age_seconds";
/// Entries of a section of the rules.
pub const RULES_ENTRIES: &str = "gateway_rules_entries";
/// 1 while a section of the rules is too old.
pub const RULES_STALE: &str = "gateway_rules_stale";
/// 1 while the account's key is refused.
pub const ACCOUNT_HALTED: &str = "gateway_account_halted";
/// 1 while nothing is sent for the account.
pub const BREAKER_OPEN: &str = "gateway_breaker_open";
