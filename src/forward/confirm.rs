//! Settles doubts: asks the provider before anything is sent again.
//!
//! The look-up is limited to 60 calls a minute, so that doubts are looked up together where there are
//! several, as a crash leaves them. What the records mean is [`super::activity_match`]'s business. Found → accepted, or
//! refused. Not found twice, the second time over days → repeated and marked, or held, as the
//! operator chose; repeats go out one at a time, because mail that is not in doubt goes first, and none on a
//! look-up that is older than `confirm_after`. Where the look-up itself is not permitted nothing can be known, and
//! a marked repeat is better than lost mail. What can't be asked is asked less and less often, and in the end left
//! to the operator.
//!
//! # Invariants
//! - A look-up that was not read to its end, or that answered without a list, is no evidence.
//! - What is older than the provider's shortest history is never repeated because it was not found.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::mail::Diagnostic;
use crate::message::GATEWAY_ID;
use crate::provider::groups::activity::{ActivityEvent, SearchActivity};
use crate::provider::{ApiError, Disposition};
use crate::resilience::Permit;
use crate::spool::{Finding, LeaseRequest, Leased, Work};

use super::activity_match::{Evidence, Sought, find_mail};
use super::attempt::{attempt, gave_up, hold};
use super::workers::{Shared, Unknown};

/// Works until `stop`.
pub(super) async fn confirm_in_doubt(shared: Shared, stop: CancellationToken) {
    let mut pace = CallLimit::default();
    let mut changed = shared.spool.doubts();
    while !stop.is_cancelled() {
        let wake_at = match next(&shared, &mut pace).await {
            Next::Doubts(doubts) => {
                settle(&shared, doubts, &mut pace, &stop).await;
                continue;
            }
            Next::NotBefore(at) => at,
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = shared.in_doubt_added.notified() => {}
            // An operator, an expired lease or a changed clock: something may be due now.
            Ok(()) = changed.changed() => {}
            () = tokio::time::sleep_until(wake_at.into()) => {}
        }
    }
}

/// The look-ups of the last minute, and until when the provider wants none.
#[derive(Default)]
struct CallLimit {
    made: VecDeque<Instant>,
    throttled_until: Option<Instant>,
}

impl CallLimit {
    /// How long none is made, where the answer asks for that (provider-api 4: calls that are refused count as well).
    fn throttled(&mut self, answer: &Result<Answer, ApiError>, now: Instant) -> Option<Duration> {
        let Disposition::Throttle(wait) = answer.as_ref().err()?.disposition() else {
            return None;
        };
        let pause = wait.unwrap_or(WINDOW).clamp(PAUSE_MIN, PAUSE_MAX);
        self.throttled_until = Some(now + pause);
        Some(pause)
    }

    /// When the next one may be made, if not now.
    fn wait(&mut self, now: Instant) -> Option<Instant> {
        while self.made.front().is_some_and(|at| *at + WINDOW <= now) {
            self.made.pop_front();
        }
        let full = self.made.len() >= LOOK_UPS_MAX;
        let first = self.made.front().filter(|_| full);
        let throttled = self.throttled_until.filter(|until| *until > now);
        first.map(|first| *first + WINDOW).max(throttled)
    }
}

enum Next {
    Doubts(Vec<Leased>),
    NotBefore(Instant),
}

async fn next(shared: &Shared, pace: &mut CallLimit) -> Next {
    let now = shared.clock.now();
    match shared.breaker().permit(now) {
        Permit::Full | Permit::One => {}
        Permit::Wait(until) => return Next::NotBefore(until),
        // Mail that flows again rings for us.
        Permit::Probe => return Next::NotBefore(now + IDLE_MAX),
    }
    if let Some(at) = pace.wait(now) {
        return Next::NotBefore(at);
    }
    let request = LeaseRequest {
        account: shared.settings.account.clone(),
        work: Work::InDoubt,
        limit: TOGETHER_MAX,
        except: Vec::new(),
    };
    match shared.spool.lease(request).await {
        Ok((leased, next_due)) => match (leased.is_empty(), next_due) {
            (false, _) => Next::Doubts(leased),
            (true, Some(due)) => {
                let wait = due.since(shared.clock.wall());
                Next::NotBefore(now + wait.min(IDLE_MAX))
            }
            (true, None) => Next::NotBefore(now + IDLE_MAX),
        },
        Err(error) => {
            shared.journal.spool_failed("leasing doubts", &error);
            Next::NotBefore(now + SPOOL_RETRY)
        }
    }
}

/// Several doubts, as a crash leaves them, are looked up with one question about all mail of their time; one alone,
/// or each of them where that question has too many answers, by its recipient.
async fn settle(
    shared: &Shared,
    doubts: Vec<Leased>,
    pace: &mut CallLimit,
    stop: &CancellationToken,
) {
    if doubts.len() <= 1 {
        return settle_each(shared, doubts, pace, stop).await;
    }
    let looked_at = shared.clock.now();
    let answer = look_up(shared, &doubts, None, pace).await;
    if let Some(pause) = pace.throttled(&answer, shared.clock.now()) {
        return put_off(shared, doubts, &answer, pause).await;
    }
    if let Ok(Answer::TooMany) = answer {
        return settle_each(shared, doubts, pace, stop).await;
    }
    for doubt in doubts {
        let age = shared.clock.now().saturating_duration_since(looked_at);
        if stop.is_cancelled() || age > shared.settings.confirm_after.max(ANSWER_AGE_MIN) {
            // Repeats took their time: it may have turned up meanwhile.
            shared.spool.release(&doubt).await;
            continue;
        }
        let found = answer.as_ref().map(|answer| answer.tells(shared, &doubt));
        conclude(shared, doubt, found).await;
    }
}

/// The provider wants no look-ups for so long. They are due as before; what has waited for too long is left to the
/// operator.
async fn put_off(
    shared: &Shared,
    doubts: Vec<Leased>,
    answer: &Result<Answer, ApiError>,
    pause: Duration,
) {
    shared
        .journal
        .look_ups_throttled(&shared.settings.account, doubts.len(), pause);
    for doubt in doubts {
        match answer {
            Err(error) if is_beyond_history(shared, &doubt) => {
                conclude(shared, doubt, Err(error)).await;
            }
            _ => shared.spool.release(&doubt).await,
        }
    }
}

async fn settle_each(
    shared: &Shared,
    doubts: Vec<Leased>,
    pace: &mut CallLimit,
    stop: &CancellationToken,
) {
    let mut doubts = VecDeque::from(doubts);
    while let Some(doubt) = doubts.pop_front() {
        if let Some(at) = pace.wait(shared.clock.now()) {
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep_until(at.into()) => {}
            }
        }
        if stop.is_cancelled() {
            shared.spool.release(&doubt).await;
            continue;
        }
        let recipient = doubt.dispatch.recipients.first().map(ToString::to_string);
        // Of a mail that was taken in part every recipient is to be heard of.
        let recipient = recipient.filter(|_| !doubt.partly);
        let answer = look_up(shared, std::slice::from_ref(&doubt), recipient, pace).await;
        if let Some(pause) = pace.throttled(&answer, shared.clock.now()) {
            doubts.push_front(doubt);
            return put_off(shared, doubts.into(), &answer, pause).await;
        }
        let found = answer.as_ref().map(|answer| answer.tells(shared, &doubt));
        conclude(shared, doubt, found).await;
    }
}

/// What the look-up says becomes of the doubt; what is not known yet is looked at again then.
async fn conclude(shared: &Shared, doubt: Leased, found: Result<Option<Evidence>, &ApiError>) {
    if found.as_ref().is_err_and(|error| error.is_not_offered()) {
        shared.journal.look_up_forbidden(&shared.settings.account);
    }
    let finding = match judge(shared, &doubt, found) {
        Judgement::Settle(finding) => finding,
        Judgement::Repeat => return repeat(shared, doubt).await,
        Judgement::Hold(why) => {
            hold(shared, &doubt, why).await;
            return;
        }
    };
    shared.journal.looked_up(&doubt.id, finding_word(&finding));
    if let Finding::KnownInPart(_, why) = &finding {
        shared.journal.refused_in_part(&doubt.id, why);
    }
    if let Err(error) = shared.spool.resolve(&doubt, finding).await {
        shared.journal.spool_failed("settling a doubt", &error);
        shared.spool.release(&doubt).await;
    }
    // What was refused for now is due like any other mail.
    shared.woken.notify_one();
}

/// How a doubt goes on.
enum Judgement {
    Settle(Finding),
    /// The provider is taken not to have it.
    Repeat,
    /// Only a person can tell, for this reason.
    Hold(&'static str),
}

fn judge(shared: &Shared, doubt: &Leased, found: Result<Option<Evidence>, &ApiError>) -> Judgement {
    let over = shared
        .trying()
        .is_over(doubt.trying, shared.settings.give_up_after);
    let again_in = shared.settings.confirm_after;
    // The newest attempt's refusal says nothing of an older one that is open, too.
    let is_sole = doubt.doubt_since == doubt.attempted_at;
    let error = match found {
        Ok(Some(Evidence::Taken(email_id, None))) => {
            return Judgement::Settle(Finding::Known(email_id));
        }
        Ok(Some(Evidence::Taken(email_id, Some(why)))) => {
            return Judgement::Settle(Finding::KnownInPart(email_id, why));
        }
        Ok(Some(Evidence::Refused(why, true))) => return Judgement::Settle(Finding::Refused(why)),
        Ok(Some(Evidence::Refused(why, false))) if is_sole => {
            return Judgement::Settle(Finding::RefusedForNow(again_in, why));
        }
        Ok(Some(Evidence::Refused(..) | Evidence::None)) => {
            return if doubt.looked_up + 1 < LOOKUPS_BEFORE_REPEAT {
                Judgement::Settle(Finding::NotKnown(again_in))
            } else if over && !doubt.partly {
                Judgement::Settle(Finding::GaveUp(gave_up(&shared.settings, NOT_KNOWN)))
            } else if is_beyond_history(shared, doubt) && !doubt.partly {
                Judgement::Hold(BEYOND_HISTORY)
            } else {
                repeated(doubt)
            };
        }
        Err(error) if error.is_not_offered() => {
            return if over && !doubt.partly {
                Judgement::Settle(Finding::GaveUp(gave_up(&shared.settings, NOT_OFFERED)))
            } else {
                repeated(doubt)
            };
        }
        Ok(None) => Diagnostic::new("more events than can be read"),
        Err(error) => Diagnostic::new(crate::journal::ErrorChain(error).to_string()),
    };
    if over || is_beyond_history(shared, doubt) {
        return Judgement::Hold(NOT_ASKED);
    }
    Judgement::Settle(Finding::NotAsked(ask_again_in(shared, doubt), error))
}

/// Where somebody has the mail already, to send it to all again would be a copy too many each time.
fn repeated(doubt: &Leased) -> Judgement {
    if doubt.partly {
        Judgement::Hold(TAKEN_IN_PART)
    } else {
        Judgement::Repeat
    }
}

/// The longer it could not be asked, the longer until the next question.
fn ask_again_in(shared: &Shared, doubt: &Leased) -> Duration {
    let now = shared.clock.wall();
    let since = doubt.doubt_since.unwrap_or(doubt.received_at);
    let (least, most) = (shared.settings.confirm_after, shared.settings.backoff.max);
    now.since(since).clamp(least, most.max(least))
}

fn is_beyond_history(shared: &Shared, doubt: &Leased) -> bool {
    // Not by the times of attempts: those follow the clock's steps.
    shared.clock.wall().since(doubt.received_at) > HISTORY_MIN
}

/// Sends it again, marked; or leaves it to the operator.
async fn repeat(shared: &Shared, doubt: Leased) {
    if shared.settings.unknown == Unknown::Hold {
        hold(shared, &doubt, NOT_KNOWN).await;
        return;
    }
    if !matches!(
        shared.breaker().permit(shared.clock.now()),
        Permit::Full | Permit::One
    ) {
        // It stays a doubt until mail flows again.
        return shared.spool.release(&doubt).await;
    }
    if let Some(attempted) = attempt(shared, doubt).await {
        shared.heed(attempted.account, &attempted.diagnostic);
    }
    // It may be due again before anything that the workers know of.
    shared.woken.notify_one();
}

/// What the provider's records hold of a time.
enum Answer {
    Events(Vec<ActivityEvent>),
    /// More than can be read: what is not among them may be there all the same.
    TooMany,
}

impl Answer {
    /// What it tells about the mail; `None` where it does not reach far enough to tell.
    fn tells(&self, shared: &Shared, doubt: &Leased) -> Option<Evidence> {
        let Self::Events(events) = self else {
            return None;
        };
        let now = shared.clock.wall();
        let theirs = |at: Option<Timestamp>| {
            // A start that lies ahead was read from a clock that was wrong: it says nothing about what is older.
            let at = at.filter(|at| *at <= now)?;
            Some(shared.provider.on_its_clock(at))
        };
        Some(find_mail(
            events,
            &Sought {
                id: doubt.id.spool_id,
                recipients: &doubt.dispatch.recipients,
                since: theirs(doubt.doubt_since),
                newest: theirs(doubt.attempted_at),
                partly: doubt.partly,
            },
        ))
    }
}

/// Everything since the first of them may have been sent, or what of it went to one recipient.
async fn look_up(
    shared: &Shared,
    doubts: &[Leased],
    recipient: Option<String>,
    pace: &mut CallLimit,
) -> Result<Answer, ApiError> {
    let now = shared.clock.wall();
    let began = |doubt: &Leased| {
        doubt
            .received_at
            .min(doubt.doubt_since.unwrap_or(now))
            .min(now)
    };
    let since = doubts.iter().map(began).min().unwrap_or(now);
    // Our clock may have been another one when it was sent: the last look before a repeat reaches days back.
    let last = doubts
        .iter()
        .any(|doubt| doubt.looked_up + 1 >= LOOKUPS_BEFORE_REPEAT);
    let slack = if last { SLACK_MAX } else { SLACK };
    let mut request = SearchActivity {
        start_date: Some(
            shared
                .provider
                .on_its_clock(since)
                .before(slack)
                .to_string(),
        ),
        // What lies ahead costs nothing, and the provider's clock may be ahead of ours.
        end_date: Some(
            shared
                .provider
                .on_its_clock(now)
                .after(SLACK_MAX)
                .to_string(),
        ),
        search_recipient: recipient,
        limit: Some(1000),
        custom_headers: Some(vec![GATEWAY_ID.to_owned()]),
        ..SearchActivity::default()
    };
    let mut events = Vec::new();
    let pages = match request.search_recipient {
        Some(_) => PAGES_MAX * 4,
        None => PAGES_MAX,
    };
    for _ in 0..pages {
        pace.made.push_back(shared.clock.now());
        let answer = shared.provider.call(&request).await?;
        let Some(page) = answer.events else {
            // An answer that says nothing does not say that there is nothing.
            return Err(ApiError::Unintelligible {
                why: "no list of events".to_owned(),
                request_id: String::new(),
            });
        };
        events.extend(page);
        if events.len() > EVENTS_MAX {
            // More than was asked for: it is not read on, and so no evidence.
            return Ok(Answer::TooMany);
        }
        request.continue_token = answer.continue_token.filter(|token| !token.is_empty());
        if request.continue_token.is_none() {
            return Ok(Answer::Events(events));
        }
    }
    Ok(Answer::TooMany)
}

fn finding_word(finding: &Finding) -> &'static str {
    match finding {
        Finding::Known(_) | Finding::KnownInPart(..) => "confirmed",
        Finding::Refused(_) | Finding::RefusedForNow(..) => "refused",
        Finding::GaveUp(_) => "gave_up",
        Finding::NotKnown(_) => "not_found",
        Finding::NotAsked(..) => "not_asked",
    }
}

const NOT_KNOWN: &str =
    "an attempt went without an answer, and the provider does not know the mail";
const NOT_OFFERED: &str =
    "an attempt went without an answer, and this key may not look up what became of it";
const NOT_ASKED: &str =
    "an attempt went without an answer, and what became of it could not be looked up";
const TAKEN_IN_PART: &str = "taken for some recipients, and what became of the others is not known";
const BEYOND_HISTORY: &str = "in doubt for longer than the provider's records may reach back";

/// Not found this often is taken for not accepted: events may appear late.
const LOOKUPS_BEFORE_REPEAT: u32 = 2;
/// The provider allows 60 a minute (provider-api 4); others may look, too.
const LOOK_UPS_MAX: usize = 50;
const WINDOW: Duration = Duration::from_secs(60);
/// What a `Retry-After` may say; a minute where there is none.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);
const SLACK: Duration = Duration::from_secs(15 * 60);
/// Clocks that were wrong by days.
const SLACK_MAX: Duration = Duration::from_secs(3 * 86_400);
const PAGES_MAX: usize = 5;
/// As many as the pages of a recipient may have.
const EVENTS_MAX: usize = PAGES_MAX * 4 * 1000;
/// Free plans see five days (provider-api 18.1).
const HISTORY_MIN: Duration = Duration::from_secs(5 * 86_400 - 3600);
/// However short `confirm_after` is.
const ANSWER_AGE_MIN: Duration = Duration::from_secs(1);
/// Doubts that one question is asked for.
const TOGETHER_MAX: usize = 200;
const IDLE_MAX: Duration = Duration::from_secs(60);
const SPOOL_RETRY: Duration = Duration::from_secs(1);
