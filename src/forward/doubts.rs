//! Settles doubts: asks the provider before anything is sent again.
//!
//! The look-up is limited to 60 calls a minute, so that doubts are looked up together where there are
//! several, as a crash leaves them. Found → accepted. Not found twice → repeated and marked, or held, as the
//! operator chose; repeats go out one at a time, because mail that is not in doubt goes first. Where the
//! look-up itself is not permitted nothing can be known, and a marked repeat is better than lost mail.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::clock::Timestamp;
use crate::mail::Diagnostic;
use crate::provider::ApiError;
use crate::provider::groups::activity::{ActivityEvent, SearchActivity};
use crate::spool::{Finding, LeaseRequest, Leased, Work};

use super::attempt::{attempt, hold};
use super::breaker::Permit;
use super::confirm::{GATEWAY_ID, recognise};
use super::workers::{Shared, Unknown};

/// Works until `stop`.
pub(super) async fn settle_doubts(shared: Shared, stop: CancellationToken) {
    let mut pace = Pace::default();
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
            () = shared.doubtful.notified() => {}
            () = tokio::time::sleep_until(wake_at.into()) => {}
        }
    }
}

/// The look-ups of the last minute.
#[derive(Default)]
struct Pace(VecDeque<Instant>);

impl Pace {
    /// When the next one may be made, if not now.
    fn wait(&mut self, now: Instant) -> Option<Instant> {
        while self.0.front().is_some_and(|at| *at + WINDOW <= now) {
            self.0.pop_front();
        }
        let first = self.0.front().filter(|_| self.0.len() >= LOOK_UPS_MAX);
        first.map(|first| *first + WINDOW)
    }
}

enum Next {
    Doubts(Vec<Leased>),
    NotBefore(Instant),
}

async fn next(shared: &Shared, pace: &mut Pace) -> Next {
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
        work: Work::Doubts,
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
async fn settle(shared: &Shared, doubts: Vec<Leased>, pace: &mut Pace, stop: &CancellationToken) {
    if doubts.len() > 1 {
        let since = doubts.iter().map(|doubt| doubt.received_at).min();
        let answer = look_up(shared, since.unwrap_or_default(), None, pace).await;
        if let Ok(Answer::TooMany) = answer {
            return settle_each(shared, doubts, pace, stop).await;
        }
        // Looked at together, and looked at again together.
        let again_at = shared.confirm_at();
        for doubt in doubts {
            if stop.is_cancelled() {
                shared.spool.release(&doubt).await;
                continue;
            }
            let found = answer.as_ref().map(|answer| answer.knows(&doubt));
            conclude(shared, doubt, found, again_at).await;
        }
    } else {
        settle_each(shared, doubts, pace, stop).await;
    }
}

async fn settle_each(
    shared: &Shared,
    doubts: Vec<Leased>,
    pace: &mut Pace,
    stop: &CancellationToken,
) {
    for doubt in doubts {
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
        let answer = look_up(shared, doubt.received_at, recipient, pace).await;
        let found = answer.as_ref().map(|answer| answer.knows(&doubt));
        conclude(shared, doubt, found, shared.confirm_at()).await;
    }
}

/// What the look-up says becomes of the doubt; what is not known yet is looked at again then.
async fn conclude(
    shared: &Shared,
    doubt: Leased,
    found: Result<Option<String>, &ApiError>,
    again_at: Timestamp,
) {
    let finding = match found {
        Ok(Some(email_id)) => Finding::Known(email_id),
        Ok(None) if doubt.looked_up + 1 < LOOKS => Finding::NotKnown(again_at),
        Ok(None) => return repeat(shared, doubt).await,
        Err(error) if error.is_not_offered() => {
            shared.journal.look_up_forbidden(&shared.settings.account);
            return repeat(shared, doubt).await;
        }
        Err(error) => {
            let why = Diagnostic::new(crate::journal::Chain(error).to_string());
            Finding::NotAsked(again_at, why)
        }
    };
    shared.journal.looked_up(&doubt.id, finding_word(&finding));
    if let Err(error) = shared.spool.resolve(&doubt, finding).await {
        shared.journal.spool_failed("settling a doubt", &error);
        shared.spool.release(&doubt).await;
    }
}

/// Sends it again, marked; or leaves it to the operator.
async fn repeat(shared: &Shared, doubt: Leased) {
    if shared.settings.unknown == Unknown::Hold {
        let why = "an attempt went without an answer, and the provider does not know the mail";
        hold(shared, &doubt, why).await;
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
    /// The provider's name for the mail, if it is among them.
    fn knows(&self, doubt: &Leased) -> Option<String> {
        match self {
            Self::Events(events) => {
                recognise(events, doubt.id.spool_id, &doubt.dispatch.recipients)
            }
            Self::TooMany => None,
        }
    }
}

/// Everything since then, or everything to one recipient.
async fn look_up(
    shared: &Shared,
    since: Timestamp,
    recipient: Option<String>,
    pace: &mut Pace,
) -> Result<Answer, ApiError> {
    let mut request = SearchActivity {
        // Clocks differ, and nothing of ours is older than its acceptance.
        start_date: Some(since.before(SLACK).to_string()),
        end_date: Some(shared.clock.wall().after(SLACK).to_string()),
        search_recipient: recipient,
        limit: Some(1000),
        custom_headers: Some(vec![GATEWAY_ID.to_owned()]),
        ..SearchActivity::default()
    };
    let mut events = Vec::new();
    for _ in 0..PAGES_MAX {
        pace.0.push_back(shared.clock.now());
        let answer = shared.provider.call(&request).await?;
        events.extend(answer.events.unwrap_or_default());
        request.continue_token = answer.continue_token.filter(|token| !token.is_empty());
        if request.continue_token.is_none() {
            return Ok(Answer::Events(events));
        }
    }
    match request.search_recipient {
        // 5,000 events to one recipient within the life of a message: it would be among them.
        Some(_) => Ok(Answer::Events(events)),
        None => Ok(Answer::TooMany),
    }
}

fn finding_word(finding: &Finding) -> &'static str {
    match finding {
        Finding::Known(_) => "confirmed",
        Finding::NotKnown(_) => "not_found",
        Finding::NotAsked(..) => "not_asked",
    }
}

/// Not found this often is taken for not accepted: events may appear late.
const LOOKS: u32 = 2;
/// The provider allows 60 a minute (NOTES section 4); others may look, too.
const LOOK_UPS_MAX: usize = 50;
const WINDOW: Duration = Duration::from_secs(60);
const SLACK: Duration = Duration::from_secs(15 * 60);
const PAGES_MAX: usize = 5;
/// Doubts that one question is asked for.
const TOGETHER_MAX: usize = 200;
const IDLE_MAX: Duration = Duration::from_secs(60);
const SPOOL_RETRY: Duration = Duration::from_secs(1);
