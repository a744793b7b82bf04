//! One method per life event of a message or session: the log line and the counter.
//!
//! This is the only place that writes mail addresses at level info. It never sees content or
//! secrets. Log lines are an interface: the message text is the event's name, everything else is a
//! field.

use std::time::Duration;

use metrics::{counter, gauge};
use tracing::{debug, error, info, warn};

use crate::clock::Timestamp;
use crate::mail::{
    Diagnostic, DispatchId, Envelope, Outcome, Reply, SessionEvent, SessionFacts, SpoolId, escaped,
};
use crate::rules::{SectionName, Submitter};
use crate::telemetry;

/// See the module's documentation.
#[derive(Clone, Copy, Debug, Default)]
pub struct Journal;

impl Journal {
    /// A client connected.
    pub fn session_opened(&self, facts: &SessionFacts) {
        counter!(telemetry::SESSIONS, "listener" => facts.listener.to_string()).increment(1);
        gauge!(telemetry::SESSIONS_OPEN).increment(1);
        debug!(session = %facts.session, listener = %facts.listener, peer = %facts.peer, "session opened");
    }

    /// A client's connection is over.
    pub fn session_closed(&self, facts: &SessionFacts) {
        gauge!(telemetry::SESSIONS_OPEN).decrement(1);
        debug!(session = %facts.session, "session closed");
    }

    /// Something about a session that the operator should know, with what to do about it.
    pub fn session_event(&self, facts: &SessionFacts, event: SessionEvent) {
        counter!(telemetry::SESSION_EVENTS, "event" => event.word()).increment(1);
        let (session, listener, peer) = (facts.session, &facts.listener, facts.address());
        let cause = event.cause();
        let (event, hint, notable) = (event.word(), event.hint(), event.is_notable());
        if notable {
            warn!(%session, %listener, %peer, event, cause, hint, "session trouble");
        } else {
            info!(%session, %listener, %peer, event, cause, hint, "session trouble");
        }
    }

    /// A connection was turned away at once.
    pub fn turned_away(&self, listener: &str, peer: std::net::IpAddr, reply: &Reply) {
        counter!(telemetry::SESSION_EVENTS, "event" => "turned_away").increment(1);
        warn!(listener, %peer, %reply, "connection turned away");
    }

    /// A client signed in.
    pub fn signed_in(&self, facts: &SessionFacts, device: Option<&str>) {
        counter!(telemetry::SIGN_INS, "result" => "accepted").increment(1);
        debug!(session = %facts.session, peer = %facts.address(), device, "signed in");
    }

    /// A client failed to sign in. The name is the one that was sent: a slip in it is what most often is wrong.
    pub fn sign_in_refused(
        &self,
        facts: &SessionFacts,
        name: &str,
        device: Option<&str>,
        hint: &str,
    ) {
        let name = escaped(name);
        counter!(telemetry::SIGN_INS, "result" => "refused").increment(1);
        warn!(
            session = %facts.session, listener = %facts.listener, peer = %facts.address(),
            name, device, hint, "sign-in refused"
        );
    }

    /// A sender, recipient or message was refused.
    pub fn refused(
        &self,
        facts: &SessionFacts,
        stage: &'static str,
        device: Option<&str>,
        reply: &Reply,
        hint: &str,
    ) {
        counter!(telemetry::REFUSALS, "stage" => stage).increment(1);
        warn!(
            session = %facts.session, listener = %facts.listener, peer = %facts.address(),
            device, stage, %reply, hint, "refused"
        );
    }

    /// A message is durable and ours.
    #[allow(clippy::too_many_arguments, reason = "each is a field of the log line")]
    pub fn spooled(
        &self,
        id: &SpoolId,
        facts: &SessionFacts,
        submitter: &Submitter,
        envelope: &Envelope,
        size: u64,
        dispatches: usize,
        mended: &[String],
    ) {
        counter!(telemetry::MESSAGES_SPOOLED).increment(1);
        counter!(telemetry::SPOOLED_OCTETS).increment(size);
        let recipients = envelope.recipients.as_slice();
        info!(
            spool_id = %id, session = %facts.session, listener = %facts.listener,
            peer = %facts.address(), protocol = facts.protocol(), account = %submitter.account,
            device = submitter.device.as_deref(), basis = %submitter.basis,
            reverse_path = %envelope.reverse_path, recipient = %recipients[0],
            recipients = recipients.len(), size, dispatches, mended = listed(mended), "spooled"
        );
    }

    /// The spool could not do its work.
    pub fn spool_failed(&self, doing: &'static str, error: &dyn std::error::Error) {
        error!(doing, error = %ErrorChain(error), "spool failed");
    }

    /// An attempt ended.
    #[allow(clippy::too_many_arguments, reason = "each is a field of the log line")]
    pub fn attempted(
        &self,
        id: &DispatchId,
        recipients: usize,
        attempt: u32,
        possibly_duplicate: bool,
        took: Duration,
        outcome: &Outcome,
        next_at: Option<Timestamp>,
        mended: &[String],
    ) {
        counter!(telemetry::ATTEMPTS, "outcome" => outcome.word()).increment(1);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        let next_at = next_at.map(tracing::field::display);
        match outcome {
            Outcome::Accepted {
                email_id,
                request_id,
            } => info!(
                spool_id = %id, recipients, attempt, took_ms, possibly_duplicate, email_id,
                request_id, mended = listed(mended), "accepted"
            ),
            Outcome::Deferred(diagnostic) => info!(
                spool_id = %id, recipients, attempt, took_ms, %diagnostic, next_at, "deferred"
            ),
            Outcome::Bounced(diagnostic) => warn!(
                spool_id = %id, recipients, attempt, took_ms, %diagnostic, "bounced"
            ),
            Outcome::Unknown(diagnostic) => warn!(
                spool_id = %id, recipients, attempt, took_ms, %diagnostic, next_at, "unknown"
            ),
        }
    }

    /// An operator did something to a message.
    pub fn ordered(&self, id: &SpoolId, order: &'static str, dispatches: u32) {
        info!(spool_id = %id, order, dispatches, "ordered");
    }

    /// The provider was asked about a doubt.
    pub fn looked_up(&self, id: &DispatchId, finding: &'static str) {
        counter!(telemetry::LOOK_UPS, "finding" => finding).increment(1);
        info!(spool_id = %id, finding, "looked up");
    }

    /// The provider wants no look-ups for so long.
    pub fn look_ups_throttled(&self, account: &str, waiting: usize, pause: Duration) {
        tracing::warn!(
            account,
            waiting,
            seconds = pause.as_secs(),
            "look-ups throttled: mail in doubt waits"
        );
    }

    /// The key may not look up what became of a mail.
    pub fn look_up_forbidden(&self, account: &str) {
        counter!(telemetry::LOOK_UPS, "finding" => "forbidden").increment(1);
        let hint = "give the key permission for /activity/search: until then an attempt without an \
                    answer is repeated without being looked up";
        warn!(account, hint, "look-up not permitted");
    }

    /// The provider took a mail for some recipients only.
    pub fn refused_in_part(&self, id: &DispatchId, diagnostic: &Diagnostic) {
        let hint = "the others got it: send it to these again, where the reason has gone";
        warn!(spool_id = %id, %diagnostic, hint, "refused for some recipients");
    }

    /// A dispatch was left to the operator.
    pub fn held(&self, id: &DispatchId, diagnostic: &Diagnostic) {
        counter!(telemetry::ATTEMPTS, "outcome" => "held").increment(1);
        warn!(spool_id = %id, %diagnostic, "held");
    }

    /// Stored mail belongs to an account that is not in the configuration.
    pub fn account_unknown(&self, account: &str, dispatches: u64) {
        let hint = "nothing of it is sent: configure the account again, under the same name";
        error!(account, dispatches, hint, "account unknown");
    }

    /// What the provider answered, by class.
    pub fn provider_answered(&self, class: &'static str) {
        counter!(telemetry::PROVIDER_ANSWERS, "class" => class).increment(1);
    }

    /// The provider refuses the account's key. The mail waits.
    pub fn account_halted(&self, account: &str, diagnostic: &Diagnostic, next_probe: Duration) {
        gauge!(telemetry::ACCOUNT_HALTED, "account" => account.to_owned()).set(1.0);
        gauge!(telemetry::BREAKER_OPEN, "account" => account.to_owned()).set(1.0);
        let next_probe_s = next_probe.as_secs();
        let hint = "check the API key, its permission for /email/mime and the API's IP allow list; \
                    nothing bounces, mail waits and is sent when the key works";
        error!(account, %diagnostic, next_probe_s, hint, "account halted");
    }

    /// A probe was not refused: the next mail is tried.
    pub fn key_works(&self, account: &str) {
        gauge!(telemetry::ACCOUNT_HALTED, "account" => account.to_owned()).set(0.0);
        info!(account, "key not refused, trying one mail");
    }

    /// Nothing is sent for a while. The mail waits.
    pub fn account_paused(
        &self,
        account: &str,
        cause: &'static str,
        diagnostic: &Diagnostic,
        pause: Duration,
    ) {
        gauge!(telemetry::ACCOUNT_HALTED, "account" => account.to_owned()).set(0.0);
        gauge!(telemetry::BREAKER_OPEN, "account" => account.to_owned()).set(1.0);
        let pause_s = pause.as_secs_f64();
        warn!(account, cause, %diagnostic, pause_s, "account paused");
    }

    /// A lane's user has sent what it may for now; its mail waits.
    pub fn rate_limited(&self, account: &str, lane: &str, wait: Duration) {
        counter!(telemetry::RATE_LIMITED, "account" => account.to_owned()).increment(1);
        let wait_s = wait.as_secs_f64();
        debug!(account, lane, wait_s, "paced");
    }

    /// A section of the rules was looked at.
    pub fn rules_refreshed(&self, account: &str, section: SectionName, unchanged: bool) {
        let result = if unchanged { "unchanged" } else { "changed" };
        count_refresh(account, section, result);
        debug!(account, %section, result, "rules refreshed");
    }

    /// The provider says something else than before.
    pub fn rules_changed(&self, account: &str, section: SectionName, before: usize, now: usize) {
        info!(account, %section, before, now, "rules changed");
    }

    /// A section could not be looked at; what was known of it stays in force. `news` where that was not so before.
    pub fn rules_failed(
        &self,
        account: &str,
        section: SectionName,
        path: &'static str,
        not_permitted: bool,
        error: &str,
        news: bool,
    ) {
        if not_permitted {
            count_refresh(account, section, "not_permitted");
            if news {
                let hint = format!(
                    "give the key permission for {path}; until then sync.without_rules decides"
                );
                warn!(account, %section, hint, "rules not permitted");
            }
        } else {
            count_refresh(account, section, "failed");
            if news {
                let hint = "what was known of it stays in force";
                warn!(account, %section, error, hint, "rules not refreshed");
            } else {
                debug!(account, %section, error, "rules not refreshed");
            }
        }
    }

    /// A section can be looked at again, or a list is as long as it was.
    pub fn rules_recovered(&self, account: &str, section: SectionName) {
        info!(account, %section, "rules recovered");
    }

    /// Entries of a section can't be understood. They are skipped; what they might have allowed is not allowed.
    pub fn rules_odd(&self, account: &str, section: SectionName, count: usize, first: &[String]) {
        count_refresh(account, section, "odd");
        let first = first.join("; ");
        warn!(account, %section, count, first, "rules not understood");
    }

    /// A list is suddenly (nearly) empty: the old one stays in force for a while.
    pub fn rules_shrunken(
        &self,
        account: &str,
        section: SectionName,
        before: usize,
        now: usize,
        grace: Duration,
    ) {
        count_refresh(account, section, "shrunken");
        let grace_s = grace.as_secs();
        let hint =
            "the old list stays in force for that long; `rules sync --accept` believes the new one";
        error!(account, %section, before, now, grace_s, hint, "rules suddenly shrunken");
    }

    /// A section was not confirmed for too long.
    pub fn rules_stale(&self, account: &str, section: SectionName, age: Duration) {
        let age_s = age.as_secs();
        let hint =
            "the gateway is not ready; sync.when_stale says what becomes of mail: see `rules show`";
        error!(account, %section, age_s, hint, "rules stale");
    }

    /// A stored section is not what was written.
    pub fn rules_set_aside(
        &self,
        account: &str,
        section: SectionName,
        why: &dyn std::error::Error,
    ) {
        let why = ErrorChain(why).to_string();
        let hint = "it is kept in the spool's database and not used; the provider is asked";
        error!(account, %section, why, hint, "stored rules set aside");
    }

    /// The account works again.
    pub fn account_resumed(&self, account: &str) {
        gauge!(telemetry::ACCOUNT_HALTED, "account" => account.to_owned()).set(0.0);
        gauge!(telemetry::BREAKER_OPEN, "account" => account.to_owned()).set(0.0);
        info!(account, "account resumed");
    }
}

/// What was changed in a message, for a log line; nothing where it is as it came.
fn listed(mended: &[String]) -> Option<String> {
    (!mended.is_empty()).then(|| mended.join(","))
}

fn count_refresh(account: &str, section: SectionName, result: &'static str) {
    counter!(
        telemetry::RULES_REFRESHES,
        "account" => account.to_owned(), "section" => section.word(), "result" => result
    )
    .increment(1);
}

/// An error with all its sources, for one log field.
pub struct ErrorChain<'a>(pub &'a dyn std::error::Error);

impl std::fmt::Display for ErrorChain<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}
