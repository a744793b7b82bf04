//! Settles doubts: asks the provider before anything is sent again.
//!
//! One doubt at a time, because the look-up is limited to 60 calls a minute and mail that is not in
//! doubt goes first. Found → accepted. Not found twice → repeated and marked, or held, as the operator
//! chose. Where the look-up itself is not permitted nothing can be known, and a marked repeat is
//! better than lost mail.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use crate::mail::Diagnostic;
use crate::provider::ApiError;
use crate::provider::groups::activity::SearchActivity;
use crate::spool::{Finding, LeaseRequest, Leased, Work};

use super::attempt::{attempt, hold};
use super::breaker::Permit;
use super::confirm::{GATEWAY_ID, recognise};
use super::workers::{Shared, Unknown};

/// Works until `stop`.
pub(super) async fn settle_doubts(shared: Shared, stop: CancellationToken) {
    let mut asked: VecDeque<Instant> = VecDeque::new();
    while !stop.is_cancelled() {
        let wake_at = match next(&shared, &mut asked).await {
            Next::Doubt(leased) => {
                // Not to be cut off in the middle: a repeat is an attempt like any other.
                settle(&shared, *leased).await;
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

enum Next {
    Doubt(Box<Leased>),
    NotBefore(Instant),
}

async fn next(shared: &Shared, asked: &mut VecDeque<Instant>) -> Next {
    let now = shared.clock.now();
    match shared.breaker().permit(now) {
        Permit::Full | Permit::One => {}
        Permit::Wait(until) => return Next::NotBefore(until),
        // Mail that flows again rings for us.
        Permit::Probe => return Next::NotBefore(now + IDLE_MAX),
    }
    while asked.front().is_some_and(|at| *at + WINDOW <= now) {
        asked.pop_front();
    }
    if let (LOOK_UPS_MAX.., Some(first)) = (asked.len(), asked.front()) {
        return Next::NotBefore(*first + WINDOW);
    }
    let request = LeaseRequest {
        account: shared.settings.account.clone(),
        work: Work::Doubts,
        limit: 1,
        except: None,
    };
    match shared.spool.lease(request).await {
        Ok((mut leased, next_due)) => match (leased.pop(), next_due) {
            (Some(doubt), _) => {
                asked.push_back(now);
                Next::Doubt(Box::new(doubt))
            }
            (None, Some(due)) => {
                let wait = due.since(shared.clock.wall());
                Next::NotBefore(now + wait.min(IDLE_MAX))
            }
            (None, None) => Next::NotBefore(now + IDLE_MAX),
        },
        Err(error) => {
            shared.journal.spool_failed("leasing doubts", &error);
            Next::NotBefore(now + SPOOL_RETRY)
        }
    }
}

async fn settle(shared: &Shared, doubt: Leased) {
    let finding = match look_up(shared, &doubt).await {
        Ok(Some(email_id)) => Finding::Known(email_id),
        Ok(None) if doubt.looked_up + 1 < LOOKS => Finding::NotKnown(shared.confirm_at()),
        Ok(None) => return repeat(shared, doubt).await,
        Err(error) if error.is_not_offered() => {
            shared.journal.look_up_forbidden(&shared.settings.account);
            return repeat(shared, doubt).await;
        }
        Err(error) => {
            let why = Diagnostic::new(crate::journal::Chain(&error).to_string());
            Finding::NotAsked(shared.confirm_at(), why)
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
    if let Some(attempted) = attempt(shared, doubt).await {
        shared.heed(attempted.account, &attempted.diagnostic);
    }
    // It may be due again before anything that the workers know of.
    shared.woken.notify_one();
}

/// The provider's name for the mail, if it knows it.
async fn look_up(shared: &Shared, doubt: &Leased) -> Result<Option<String>, ApiError> {
    let recipients = &doubt.dispatch.recipients;
    let mut request = SearchActivity {
        // Clocks differ, and nothing of ours is older than its acceptance.
        start_date: Some(doubt.received_at.before(SLACK).to_string()),
        end_date: Some(shared.clock.wall().after(SLACK).to_string()),
        search_recipient: recipients.first().map(ToString::to_string),
        limit: Some(1000),
        custom_headers: Some(vec![GATEWAY_ID.to_owned()]),
        ..SearchActivity::default()
    };
    for _ in 0..PAGES_MAX {
        let answer = shared.provider.call(&request).await?;
        let events = answer.events.unwrap_or_default();
        let found = recognise(&events, doubt.id.spool_id, recipients);
        request.continue_token = answer.continue_token.filter(|token| !token.is_empty());
        if found.is_some() || request.continue_token.is_none() {
            return Ok(found);
        }
    }
    Ok(None)
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
/// 5,000 events to one recipient within the life of a message.
const PAGES_MAX: usize = 5;
const IDLE_MAX: Duration = Duration::from_secs(60);
const SPOOL_RETRY: Duration = Duration::from_secs(1);
