//! One try to hand a dispatch to the provider, from lease to settlement.

use std::time::Duration;

use crate::mail::{Diagnostic, Outcome};
use crate::provider::ApiError;
use crate::resilience::AccountSignal;
use crate::spool::{Attempt, Leased, Settlement, SpoolError, Transition};

use super::classify::{Classified, classify};
use super::payload::upload;
use super::probe::{Probed, probe};
use super::workers::{ForwardSettings, Shared};

/// What the forwarder learns from an attempt.
pub(super) struct Attempted {
    pub(super) account: AccountSignal,
    pub(super) diagnostic: Diagnostic,
    /// Whether the provider has the mail, or may have it.
    pub(super) sent: bool,
}

/// Runs one attempt to its end; `None` when nothing was sent.
pub(super) async fn attempt(shared: &Shared, leased: Leased) -> Option<Attempted> {
    let started_at = shared.clock.wall();
    let started = shared.clock.now();
    let attempt = leased.attempt(started_at);
    let (trying, in_doubt) = (leased.trying, leased.in_doubt);
    let is_open = leased.doubt_since.is_some();
    let recipients = leased.dispatch.recipients.len();
    let octets = (leased.prefix.len() + leased.head.len()) as u64 + leased.content.octets();
    let upload = match upload(leased.clone(), shared.spool.clone()) {
        Ok(upload) => upload,
        Err(error) => {
            shared
                .journal
                .spool_failed("reading a stored header", &error);
            return hold(shared, &leased, "the stored header block is damaged").await;
        }
    };
    // Durable before the request leaves: a crash from here on leaves a doubt, never a repeat.
    let begun = shared.spool.begin_attempt(attempt).await;
    if let Err(SpoolError::Stale) = begun {
        // An operator was quicker.
        shared.spool.release(&leased).await;
        return None;
    }
    if let Err(error) = begun {
        shared
            .journal
            .spool_failed("marking an attempt as in flight", &error);
        give_back(shared, &leased).await;
        return None;
    }
    let mended = leased.shared.mended.clone();
    drop(leased);
    let key_generation = shared.provider.key_generation();
    let answer = shared.provider.send_mime(upload).await;
    if let Err(error @ ApiError::Unreadable(_)) = &answer {
        put_back(shared, attempt, error).await;
        return None;
    }
    let Classified {
        mut outcome,
        mut account,
        partly,
    } = classify(&answer, octets);
    match (&answer, account) {
        (Ok(_), AccountSignal::Ok) if matches!(outcome, Outcome::Accepted { .. }) => {
            shared.own_refusals().taken();
        }
        // A reply that came in a 200 may quote the mail.
        (Ok(_), AccountSignal::Quota | AccountSignal::Throttle(_))
            if shared.own_refusals().is_own(attempt.id) =>
        {
            account = AccountSignal::Ok;
        }
        _ => {}
    }
    // Something in between may have said no after the provider said yes.
    let unsure = match &answer {
        Err(ApiError::Refused(refusal)) => refusal.body_left && !refusal.is_worded(),
        _ => false,
    };
    if account == AccountSignal::Ambiguous {
        account = match probe(&shared.provider).await {
            Probed::Works => AccountSignal::Unavailable,
            Probed::Refused(effect, _) => effect,
            // Never to be bounced for it; the next probe lets one attempt through.
            Probed::Unclear => AccountSignal::KeyRefused,
        };
    }
    let now = shared.clock.wall();
    let (tried, over) = {
        let clock = shared.trying();
        let over = clock.is_over(trying, shared.settings.give_up_after);
        (clock.failed(trying), over)
    };
    let random = shared.random();
    let transition = decide(
        &shared.settings,
        &mut outcome,
        account,
        &attempt,
        // What may have been delivered is looked up once more before it is given up.
        over && !is_open,
        random,
    );
    let next_at = transition.next_in().map(|wait| now.after(wait));
    let doubtful = matches!(transition, Transition::InDoubt(..));
    let blamed = matches!(
        transition,
        Transition::Waiting(..) | Transition::InDoubt(..)
    );
    let settlement = Settlement {
        transition,
        trying: blamed.then_some(tried),
        unsure,
        partly,
    };
    settle(shared, attempt, settlement).await;
    if doubtful || is_open {
        shared.in_doubt_added.notify_one();
    }
    let took = shared.clock.now().saturating_duration_since(started);
    shared.journal.provider_answered(account.word());
    shared.journal.attempted(
        &attempt.id,
        recipients,
        attempt.number,
        in_doubt,
        took,
        &outcome,
        next_at,
        &mended,
    );
    let sent = matches!(outcome, Outcome::Accepted { .. } | Outcome::Unknown(_));
    let diagnostic = match outcome {
        Outcome::Accepted { .. } => Diagnostic::new(""),
        Outcome::Deferred(why) | Outcome::Bounced(why) | Outcome::Unknown(why) => why,
    };
    // What a key was told says nothing about the one that has taken its place.
    let outdated =
        account == AccountSignal::KeyRefused && key_generation != shared.provider.key_generation();
    (!outdated).then_some(Attempted {
        account,
        diagnostic,
        sent,
    })
}

/// Content that can't be read now says nothing of the provider, and no time of trying runs for it.
async fn put_back(shared: &Shared, attempt: Attempt, error: &ApiError) {
    shared
        .journal
        .spool_failed("reading content for an attempt", error);
    let why = Diagnostic::new(crate::journal::ErrorChain(error).to_string());
    let wait = shared
        .settings
        .backoff
        .jittered(attempt.number, shared.random());
    let transition = Transition::Waiting(wait.max(UNREADABLE_WAIT), why);
    settle(shared, attempt, transition.into()).await;
}

/// Leaves the dispatch to the operator.
pub(super) async fn hold(shared: &Shared, leased: &Leased, why: &str) -> Option<Attempted> {
    let why = Diagnostic::new(why);
    match shared.spool.hold(leased, why.clone()).await {
        Ok(()) => shared.journal.held(&leased.id, &why),
        Err(error) => {
            shared.journal.spool_failed("holding a dispatch", &error);
            give_back(shared, leased).await;
        }
    }
    None
}

/// After a pause: a spool that can't be written now would otherwise be tried without end.
async fn give_back(shared: &Shared, leased: &Leased) {
    tokio::time::sleep(SPOOL_PAUSE).await;
    shared.spool.release(leased).await;
}

/// How the dispatch goes on. A message that is too old bounces instead of waiting any longer.
fn decide(
    settings: &ForwardSettings,
    outcome: &mut Outcome,
    account: AccountSignal,
    attempt: &Attempt,
    over: bool,
    random: u32,
) -> Transition {
    // What is wrong with the account is no reason to give up a message, or to slow it down: the breaker
    // holds it back, and the others go first when it closes.
    let blameless = !matches!(account, AccountSignal::Ok | AccountSignal::Unavailable);
    if let (true, Outcome::Deferred(why)) = (blameless, &outcome) {
        return Transition::Paused(why.clone());
    }
    if let (true, Outcome::Deferred(why)) = (over, &outcome) {
        *outcome = Outcome::Bounced(gave_up(settings, why.as_str()));
    }
    let wait = settings.backoff.jittered(attempt.number, random);
    match outcome.clone() {
        Outcome::Accepted {
            email_id,
            request_id,
        } => Transition::Accepted {
            email_id,
            request_id,
        },
        Outcome::Bounced(why) => Transition::Bounced(why),
        Outcome::Deferred(why) => Transition::Waiting(wait, why),
        // A provider that answers everything with 500 must not be asked every 90 seconds for ever.
        Outcome::Unknown(why) => Transition::InDoubt(settings.confirm_after.max(wait), why),
    }
}

/// The words of a bounce after too long a time.
pub(super) fn gave_up(settings: &ForwardSettings, why: &str) -> Diagnostic {
    let after = humantime::format_duration(settings.give_up_after);
    Diagnostic::new(format!("gave up after {after}: {why}"))
}

/// What is known must not be lost because the disk is full for a moment.
async fn settle(shared: &Shared, attempt: Attempt, settlement: Settlement) {
    let mut wait = Duration::from_millis(200);
    loop {
        match shared.spool.settle(attempt, settlement.clone()).await {
            Ok(()) => return,
            Err(error @ (SpoolError::Stale | SpoolError::Stopped)) => {
                shared.journal.spool_failed("settling an attempt", &error);
                return;
            }
            Err(error) => shared.journal.spool_failed("settling an attempt", &error),
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(Duration::from_secs(10));
    }
}

/// A disk that retries a bad sector takes its time.
const UNREADABLE_WAIT: Duration = Duration::from_secs(60);
const SPOOL_PAUSE: Duration = Duration::from_secs(1);
