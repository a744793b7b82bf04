//! One contract, every store; and what only a store on disk has to promise.

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use smtp2go_gateway::clock::Clock;
use smtp2go_gateway::mail::{
    Diagnostic, Dispatch, Edit, Envelope, Mailbox, Recipients, ReversePath, Shared, SpoolId,
};
use smtp2go_gateway::spool::{
    Content, Draft, Finding, LeaseRequest, Leased, MemoryStore, OperatorAction, Origin, RulesPart,
    Settlement, Spool, SpoolError, SpoolSettings, SqliteStore, State, Store, Submission,
    Transition, Work,
};

const SETTINGS: SpoolSettings = SpoolSettings {
    lease_ttl: Duration::from_secs(3600),
    confirm_after: Duration::from_secs(90),
    wait_max: Duration::from_secs(86_400),
    batch_max: 256,
    history_from: u64::MAX,
};

pub(crate) fn spool(store: impl Store + 'static) -> Spool {
    Spool::start(Box::new(store), SETTINGS, Clock).unwrap()
}

pub(crate) fn sqlite(directory: &Path) -> SqliteStore {
    SqliteStore::open(&directory.join("spool.db")).unwrap()
}

/// Runs a contract on every store.
macro_rules! contract {
    ($($name:ident)*) => {
        mod memory {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::spool(super::MemoryStore::default())).await;
            })*
        }
        mod embedded {
            $(#[tokio::test]
            async fn $name() {
                let directory = tempfile::tempdir().unwrap();
                super::$name(super::spool(super::sqlite(directory.path()))).await;
            })*
        }
    };
}

contract! {
    a_committed_message_is_due_at_once_and_comes_back_as_it_was
    a_long_body_comes_back_in_chunks
    a_dropped_draft_leaves_nothing
    a_leased_dispatch_is_not_leased_again
    a_released_lease_can_be_taken_again
    an_attempt_goes_through_the_states_of_the_table
    a_doubt_is_due_again_at_its_time_and_marked_when_repeated
    a_doubt_is_settled_by_what_the_provider_knows
    an_older_copy_of_a_lease_can_not_be_attempted
    a_late_answer_settles_the_doubt_about_its_attempt
    a_doubt_stays_one_when_its_repeat_is_deferred
    a_refusal_that_may_be_somebody_elses_marks_the_repeat_whatever_it_waits_for
    what_is_on_its_way_is_held_when_its_attempt_ends
    what_dispatches_have_in_common_is_stored_once_and_counted
    a_held_dispatch_is_never_due
    an_operator_holds_releases_retries_and_drops
    a_stored_message_can_be_read_until_it_is_settled
    dispatches_are_settled_one_by_one
    accounts_do_not_see_each_other
    devices_take_turns_whatever_one_of_them_piles_up
    octets_that_wait_are_counted_by_device
    rules_are_kept_by_account_section_and_part
    refusals_are_kept_newest_first
    settled_messages_are_listed_on_request_and_forgotten_later
    many_commits_at_once_all_stand
}

fn mailbox(text: &str) -> Mailbox {
    text.parse().unwrap()
}

pub(crate) fn submission(account: &str, recipients: &[&str]) -> Submission {
    let now = Clock.wall();
    let all: Vec<Mailbox> = recipients.iter().map(|text| mailbox(text)).collect();
    Submission {
        id: SpoolId::new(now.0),
        received_at: now,
        account: account.to_owned(),
        device: Some("printer".to_owned()),
        lane: "printer".to_owned(),
        origin: Origin {
            listener: "lan".to_owned(),
            peer: "192.0.2.7".parse().unwrap(),
            helo: Some("printer".to_owned()),
            protocol: "ESMTP".to_owned(),
            tls: None,
            basis: "trust".to_owned(),
            user: None,
            session: "00000001".to_owned(),
            accepted_with: Vec::new(),
        },
        envelope: Envelope {
            reverse_path: ReversePath::Mailbox(mailbox("a@site.test")),
            recipients: Recipients::new(all.clone()).unwrap(),
        },
        prefix: Bytes::from_static(b"X-Gateway-Id: 1\r\n"),
        head: Bytes::from_static(b"Subject: x\r\n"),
        size: 20,
        shared: Shared::default(),
        dispatches: all
            .into_iter()
            .map(|recipient| Dispatch {
                recipients: vec![recipient],
                edits: Vec::new(),
                readdressed: false,
            })
            .collect(),
    }
}

pub(crate) async fn store(spool: &Spool, submission: Submission, body: &[u8]) -> SpoolId {
    let id = submission.id;
    let mut draft = Draft::begin(spool);
    for piece in body.chunks(10_000) {
        draft.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    draft.commit(submission).await.unwrap();
    id
}

pub(crate) async fn lease(spool: &Spool, limit: usize) -> Vec<Leased> {
    lease_of(spool, "default", limit).await
}

async fn doubts(spool: &Spool) -> Vec<Leased> {
    lease_work(spool, "default", Work::InDoubt, 10).await
}

async fn lease_of(spool: &Spool, account: &str, limit: usize) -> Vec<Leased> {
    lease_work(spool, account, Work::Mail, limit).await
}

async fn lease_work(spool: &Spool, account: &str, work: Work, limit: usize) -> Vec<Leased> {
    let account = account.to_owned();
    spool
        .lease(LeaseRequest {
            account,
            work,
            limit,
            except: Vec::new(),
        })
        .await
        .unwrap()
        .0
}

async fn body_of(spool: &Spool, leased: &Leased) -> Vec<u8> {
    match &leased.content {
        Content::Inline(body) => body.to_vec(),
        Content::Chunked { octets, chunks } => {
            let mut body = Vec::new();
            for sequence in 0..*chunks {
                body.extend_from_slice(&spool.chunk(leased, sequence).await.unwrap());
            }
            assert_eq!(body.len() as u64, *octets);
            body
        }
    }
}

fn why() -> Diagnostic {
    Diagnostic::new("because")
}

fn accepted() -> Transition {
    Transition::Accepted {
        email_id: "e1".to_owned(),
        request_id: "r1".to_owned(),
    }
}

/// Attempts the leased dispatch.
async fn attempt(spool: &Spool, leased: &Leased, transition: Transition) {
    let attempt = leased.attempt(Clock.wall());
    spool.begin_attempt(attempt).await.unwrap();
    spool.settle(attempt, transition).await.unwrap();
}

async fn a_committed_message_is_due_at_once_and_comes_back_as_it_was(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"body").await;
    let leased = lease(&spool, 10).await;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].id.spool_id, id);
    assert_eq!(&leased[0].prefix[..], b"X-Gateway-Id: 1\r\n");
    assert_eq!(&leased[0].head[..], b"Subject: x\r\n");
    assert_eq!(body_of(&spool, &leased[0]).await, b"body");
    assert_eq!(leased[0].dispatch.recipients, [mailbox("b@site.test")]);
    assert!(!leased[0].in_doubt && leased[0].attempts == 0);
    assert_eq!(spool.counts().of(State::Queued), 1);
}

async fn a_long_body_comes_back_in_chunks(spool: Spool) {
    let body: Vec<u8> = (0..500_000u32).map(|n| (n % 251) as u8).collect();
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072, 500_000] {
        store(
            &spool,
            submission("default", &["b@site.test"]),
            &body[..length],
        )
        .await;
        let leased = lease(&spool, 1).await;
        assert_eq!(
            body_of(&spool, &leased[0]).await,
            &body[..length],
            "{length}"
        );
    }
}

async fn a_dropped_draft_leaves_nothing(spool: Spool) {
    let mut draft = Draft::begin(&spool);
    draft.write(Bytes::from(vec![b'x'; 300_000])).await.unwrap();
    drop(draft);
    spool.probe().await.unwrap();
    assert!(lease(&spool, 10).await.is_empty());
    assert!(spool.list(true, None, 10).await.unwrap().is_empty());
}

async fn a_leased_dispatch_is_not_leased_again(spool: Spool) {
    for _ in 0..5 {
        store(&spool, submission("default", &["b@site.test"]), b"x").await;
    }
    let first = lease(&spool, 3).await;
    let second = lease(&spool, 3).await;
    assert_eq!((first.len(), second.len()), (3, 2));
    assert!(lease(&spool, 3).await.is_empty());
}

async fn a_released_lease_can_be_taken_again(spool: Spool) {
    store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    spool.release(&leased[0]).await;
    assert_eq!(lease(&spool, 1).await.len(), 1);
}

async fn an_attempt_goes_through_the_states_of_the_table(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    let first = leased[0].attempt(Clock.wall());
    let early = spool.settle(first, accepted()).await;
    assert!(
        matches!(early, Err(SpoolError::Stale)),
        "nothing was sent yet"
    );
    spool.begin_attempt(first).await.unwrap();
    assert!(matches!(
        spool.begin_attempt(first).await,
        Err(SpoolError::Stale)
    ));
    assert_eq!(spool.counts().of(State::InFlight), 1);

    let minute = Duration::from_secs(60);
    let soonest = Clock.wall().after(minute);
    spool
        .settle(first, Transition::Waiting(minute, why()))
        .await
        .unwrap();
    assert!(lease(&spool, 1).await.is_empty(), "not before its time");
    let request = LeaseRequest {
        account: "default".to_owned(),
        work: Work::Mail,
        limit: 1,
        except: Vec::new(),
    };
    let next_due = spool.lease(request).await.unwrap().1.expect("it waits");
    assert!(next_due >= soonest && next_due <= Clock.wall().after(minute));

    let record = spool.show(id).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::Queued);
    assert_eq!(record.dispatches[0].due_at, Some(next_due));
    assert_eq!(record.events[0].event, "deferred");
    assert_eq!(record.events[0].diagnostic.as_deref(), Some("because"));
}

async fn a_doubt_is_due_again_at_its_time_and_marked_when_repeated(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    attempt(
        &spool,
        &leased[0],
        Transition::InDoubt(Duration::ZERO, why()),
    )
    .await;
    assert!(
        lease(&spool, 1).await.is_empty(),
        "a doubt is no mail to send"
    );
    let again = doubts(&spool).await;
    assert!(again[0].in_doubt);
    attempt(&spool, &again[0], accepted()).await;
    let record = spool.show(id).await.unwrap().unwrap();
    assert!(record.dispatches[0].possibly_duplicate);
    assert_eq!(record.dispatches[0].attempts, 2);
    assert!(record.settled_at.is_some());
}

async fn a_doubt_is_settled_by_what_the_provider_knows(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    attempt(
        &spool,
        &leased[0],
        Transition::InDoubt(Duration::ZERO, why()),
    )
    .await;
    for looked_up in 0..2 {
        let doubt = doubts(&spool).await;
        assert_eq!(doubt[0].looked_up, looked_up);
        let finding = Finding::NotKnown(Duration::ZERO);
        spool.resolve(&doubt[0], finding).await.unwrap();
    }
    let doubt = doubts(&spool).await;
    let finding = Finding::NotAsked(Duration::ZERO, why());
    spool.resolve(&doubt[0], finding).await.unwrap();
    let doubt = doubts(&spool).await;
    assert_eq!(doubt[0].looked_up, 2, "a failed look-up does not count");
    let finding = Finding::Known("e7".to_owned());
    spool.resolve(&doubt[0], finding).await.unwrap();
    let record = spool.show(id).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::Accepted);
    assert!(record.settled_at.is_some() && !record.dispatches[0].possibly_duplicate);
    let words: Vec<&str> = record.events.iter().map(|event| &*event.event).collect();
    assert_eq!(
        words,
        [
            "unknown",
            "not_found",
            "not_found",
            "not_asked",
            "confirmed"
        ]
    );
    assert_eq!(record.events[4].email_id.as_deref(), Some("e7"));
}

async fn an_older_copy_of_a_lease_can_not_be_attempted(spool: Spool) {
    store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    let old = leased[0].attempt(Clock.wall());
    attempt(
        &spool,
        &leased[0],
        Transition::InDoubt(Duration::ZERO, why()),
    )
    .await;
    assert!(
        matches!(spool.begin_attempt(old).await, Err(SpoolError::Stale)),
        "it would be repeated without being looked up"
    );
    let doubt = doubts(&spool).await;
    let next = doubt[0].attempt(Clock.wall());
    spool.begin_attempt(next).await.unwrap();
}

async fn a_late_answer_settles_the_doubt_about_its_attempt(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    let first = leased[0].attempt(Clock.wall());
    spool.begin_attempt(first).await.unwrap();
    let in_doubt = Transition::InDoubt(Duration::ZERO, why());
    spool.settle(first, in_doubt).await.unwrap();
    assert_eq!(doubts(&spool).await.len(), 1, "somebody looks it up");
    spool.settle(first, accepted()).await.unwrap();
    let record = spool.show(id).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::Accepted);
    assert!(matches!(
        spool.settle(first, accepted()).await,
        Err(SpoolError::Stale)
    ));
}

async fn a_refusal_that_may_be_somebody_elses_marks_the_repeat_whatever_it_waits_for(spool: Spool) {
    for (transition, marked) in [
        (Transition::Paused(why()), true),
        (Transition::Waiting(Duration::ZERO, why()), true),
        (Transition::Bounced(why()), false),
    ] {
        let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
        let leased = lease(&spool, 9).await;
        let leased = leased
            .iter()
            .find(|leased| leased.id.spool_id == id)
            .unwrap();
        let attempt = leased.attempt(Clock.wall());
        spool.begin_attempt(attempt).await.unwrap();
        let mut settlement = Settlement::from(transition);
        settlement.unsure = true;
        spool.settle(attempt, settlement).await.unwrap();
        let record = spool.show(id).await.unwrap().unwrap();
        assert_eq!(record.dispatches[0].possibly_duplicate, marked);
    }
}

async fn a_doubt_stays_one_when_its_repeat_is_deferred(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    attempt(
        &spool,
        &leased[0],
        Transition::InDoubt(Duration::ZERO, why()),
    )
    .await;
    for transition in [
        Transition::Waiting(Duration::ZERO, why()),
        Transition::Paused(why()),
    ] {
        let doubt = doubts(&spool).await;
        attempt(&spool, &doubt[0], transition).await;
        assert!(lease(&spool, 1).await.is_empty(), "it is looked up first");
    }
    let doubt = doubts(&spool).await;
    let refused = Finding::RefusedForNow(Duration::ZERO, why());
    spool.resolve(&doubt[0], refused).await.unwrap();
    assert!(lease(&spool, 1).await.is_empty(), "the first is still open");
    let record = spool.show(id).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::InDoubt);
}

async fn what_is_on_its_way_is_held_when_its_attempt_ends(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    let first = leased[0].attempt(Clock.wall());
    spool.begin_attempt(first).await.unwrap();
    assert_eq!(spool.order(id, OperatorAction::Hold).await.unwrap(), 1);
    let deferred = Transition::Waiting(Duration::ZERO, why());
    spool.settle(first, deferred).await.unwrap();
    let record = spool.show(id).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::Held);
    assert!(lease(&spool, 1).await.is_empty());
    assert_eq!(spool.counts().of(State::Held), 1);
}

async fn what_dispatches_have_in_common_is_stored_once_and_counted(spool: Spool) {
    let edit = Edit {
        start: 0,
        end: 0,
        text: "X-Original-".to_owned(),
    };
    let common = Submission {
        shared: Shared {
            edits: vec![edit.clone()],
            ..Shared::default()
        },
        ..submission("default", &["b@site.test", "c@site.test"])
    };
    let plain = submission("default", &["b@site.test", "c@site.test"]);
    let octets = common.octets();
    assert_eq!(octets, plain.octets() + common.shared.octets());
    assert!(common.shared.octets() > edit.text.len() as u64);
    let id = store(&spool, common, b"x").await;
    assert_eq!(spool.lane_octets("default", "printer"), octets);
    for leased in lease(&spool, 2).await {
        assert_eq!(leased.shared.edits_of(&leased.dispatch), [&edit]);
        attempt(&spool, &leased, accepted()).await;
    }
    let record = spool.show(id).await.unwrap().unwrap();
    assert!(record.dispatches.iter().all(|part| !part.byte_exact));
    assert_eq!(spool.lane_octets("default", "printer"), 0);
}

async fn a_held_dispatch_is_never_due(spool: Spool) {
    let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    spool.hold(&leased[0], why()).await.unwrap();
    assert!(lease(&spool, 1).await.is_empty());
    let record = spool.show(id).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::Held);
    assert_eq!(record.settled_at, None);
    assert_eq!(spool.counts().of(State::Held), 1);
}

async fn an_operator_holds_releases_retries_and_drops(spool: Spool) {
    let to = ["b@site.test", "c@site.test"];
    let id = store(&spool, submission("default", &to), b"x").await;
    let leased = lease(&spool, 2).await;
    let later = Duration::from_secs(3600);
    attempt(&spool, &leased[0], Transition::Waiting(later, why())).await;
    attempt(&spool, &leased[1], Transition::InDoubt(later, why())).await;
    let order = async |order| spool.order(id, order).await.unwrap();

    assert_eq!(order(OperatorAction::Release).await, 0, "nothing is held");
    assert_eq!(order(OperatorAction::Hold).await, 2);
    assert!(lease(&spool, 9).await.is_empty() && doubts(&spool).await.is_empty());
    assert_eq!(order(OperatorAction::Retry).await, 0, "held is held");
    assert_eq!(order(OperatorAction::Release).await, 2);
    let released = lease(&spool, 9).await;
    assert_eq!(released.len(), 2);
    let record = spool.show(id).await.unwrap().unwrap();
    let marked: Vec<bool> = record
        .dispatches
        .iter()
        .map(|part| part.possibly_duplicate)
        .collect();
    assert_eq!(marked, [false, true], "the doubt may have been sent");

    attempt(&spool, &released[0], Transition::Waiting(later, why())).await;
    assert_eq!(order(OperatorAction::Retry).await, 2);
    attempt(&spool, &released[1], accepted()).await;
    assert_eq!(order(OperatorAction::Drop).await, 1);
    let record = spool.show(id).await.unwrap().unwrap();
    let states: Vec<State> = record.dispatches.iter().map(|part| part.state).collect();
    assert_eq!(states, [State::Bounced, State::Accepted]);
    assert!(record.settled_at.is_some());
    assert_eq!(record.events.last().unwrap().event, "dropped");
    assert_eq!(
        spool.counts().of(State::Queued) + spool.counts().of(State::Held),
        0
    );
    assert_eq!(
        spool
            .order(SpoolId::new(0), OperatorAction::Drop)
            .await
            .unwrap(),
        0,
        "unknown"
    );
}

async fn a_stored_message_can_be_read_until_it_is_settled(spool: Spool) {
    let body = vec![b'y'; 200_000];
    let id = store(&spool, submission("default", &["b@site.test"]), &body).await;
    let mut stored = spool.stored(id).await.unwrap().unwrap();
    assert_eq!(&stored.head[..], b"X-Gateway-Id: 1\r\nSubject: x\r\n");
    let mut read = Vec::new();
    while let Some(chunk) = stored.next_chunk().await.unwrap() {
        read.extend_from_slice(&chunk);
    }
    assert_eq!(read, body);
    let leased = lease(&spool, 1).await;
    attempt(&spool, &leased[0], accepted()).await;
    assert!(spool.stored(id).await.unwrap().is_none());
}

async fn dispatches_are_settled_one_by_one(spool: Spool) {
    let to = ["b@site.test", "c@site.test"];
    let id = store(&spool, submission("default", &to), b"x").await;
    let leased = lease(&spool, 2).await;
    attempt(&spool, &leased[0], Transition::Bounced(why())).await;
    let record = spool.show(id).await.unwrap().unwrap();
    assert_eq!((record.row.unsettled, record.settled_at), (1, None));
    assert_eq!(
        body_of(&spool, &leased[1]).await,
        b"x",
        "the content stays for the other"
    );
    attempt(&spool, &leased[1], accepted()).await;
    let record = spool.show(id).await.unwrap().unwrap();
    assert!(record.row.unsettled == 0 && record.settled_at.is_some());
    assert_eq!(record.events.len(), 2);
    assert_eq!(spool.counts().of(State::Queued), 0);
    assert_eq!(spool.oldest_unsettled().await.unwrap(), None);
}

async fn rules_are_kept_by_account_section_and_part(spool: Spool) {
    let part = |section: &str, number: u32, record: &'static [u8]| RulesPart {
        section: section.to_owned(),
        number,
        record: Bytes::from_static(record),
    };
    let users = vec![
        part("users", 0, b"head"),
        part("users", 1, b"one"),
        part("users", 2, b"two"),
    ];
    spool.put_rules("a", users, Some(1..=2)).await.unwrap();
    let domains = vec![part("domains", 0, b"other")];
    spool.put_rules("a", domains, None).await.unwrap();
    let of_b = vec![part("users", 0, b"of b")];
    spool.put_rules("b", of_b, None).await.unwrap();
    let changed = vec![part("users", 0, b"head 2"), part("users", 3, b"three")];
    spool.put_rules("a", changed, None).await.unwrap();
    let records = async |account: &str| -> Vec<(String, u32, Bytes)> {
        let parts = spool.rules(account).await.unwrap().into_iter();
        parts
            .map(|part| (part.section, part.number, part.record))
            .collect()
    };
    let expected = [
        ("domains", 0, "other"),
        ("users", 0, "head 2"),
        ("users", 1, "one"),
        ("users", 2, "two"),
        ("users", 3, "three"),
    ];
    let expected =
        expected.map(|(section, number, record)| (section.to_owned(), number, Bytes::from(record)));
    assert_eq!(records("a").await, expected);
    spool
        .put_rules("a", vec![part("users", 0, b"new")], Some(3..=3))
        .await
        .unwrap();
    assert_eq!(
        records("a").await.len(),
        3,
        "the other pieces of the section are gone"
    );
    assert_eq!(records("b").await.len(), 1);
    assert!(records("c").await.is_empty());
}

async fn refusals_are_kept_newest_first(spool: Spool) {
    for number in 0..5 {
        spool.note_refusal(format!("refusal {number}"));
    }
    // Nobody waits for them; what is asked behind them finds them.
    spool.probe().await.unwrap();
    let newest = spool.refusals(2).await.unwrap();
    assert_eq!(newest, ["refusal 4", "refusal 3"]);
}

async fn devices_take_turns_whatever_one_of_them_piles_up(spool: Spool) {
    let from = |device: &str| Submission {
        device: Some(device.to_owned()),
        lane: device.to_owned(),
        ..submission("default", &["b@site.test"])
    };
    for _ in 0..20 {
        store(&spool, from("erp"), b"x").await;
    }
    store(&spool, from("ups"), b"x").await;
    let nobody = Submission {
        device: None,
        lane: "192.0.2.7".to_owned(),
        ..from("")
    };
    store(&spool, nobody, b"x").await;
    let devices = |leased: &[Leased]| -> Vec<String> {
        let name = |leased: &Leased| leased.device.clone().unwrap_or("-".to_owned());
        leased.iter().map(name).collect()
    };
    let first = lease(&spool, 6).await;
    assert_eq!(devices(&first), ["-", "erp", "ups", "erp", "erp", "erp"]);
    assert_eq!(lease(&spool, 30).await.len(), 16, "the rest");
    for leased in &first {
        spool.release(leased).await;
    }
    let mut one_by_one = Vec::new();
    for _ in 0..4 {
        one_by_one.extend(devices(&lease(&spool, 1).await));
    }
    // Behind the erp, which the last lease ended with.
    assert_eq!(one_by_one, ["ups", "-", "erp", "erp"]);
}

async fn octets_that_wait_are_counted_by_device(spool: Spool) {
    let to = ["b@site.test", "c@site.test"];
    store(&spool, submission("default", &to), b"x").await;
    store(&spool, submission("default", &["b@site.test"]), b"x").await;
    assert_eq!(spool.lane_octets("default", "printer"), 73);
    assert_eq!(spool.lane_octets("default", "ups"), 0);
    let leased = lease(&spool, 3).await;
    attempt(&spool, &leased[0], accepted()).await;
    assert_eq!(
        spool.lane_octets("default", "printer"),
        52,
        "half of it waits"
    );
    attempt(&spool, &leased[1], accepted()).await;
    assert_eq!(spool.lane_octets("default", "printer"), 31);
    let id = leased[2].id.spool_id;
    spool.release(&leased[2]).await;
    spool.order(id, OperatorAction::Drop).await.unwrap();
    assert_eq!(spool.lane_octets("default", "printer"), 0);
}

async fn accounts_do_not_see_each_other(spool: Spool) {
    store(&spool, submission("default", &["b@site.test"]), b"x").await;
    store(&spool, submission("other", &["b@site.test"]), b"x").await;
    assert_eq!(lease_of(&spool, "other", 10).await.len(), 1);
    assert_eq!(lease_of(&spool, "default", 10).await.len(), 1);
    assert!(lease_of(&spool, "third", 10).await.is_empty());
}

async fn settled_messages_are_listed_on_request_and_forgotten_later(spool: Spool) {
    let settled = store(&spool, submission("default", &["b@site.test"]), b"x").await;
    let leased = lease(&spool, 1).await;
    attempt(&spool, &leased[0], accepted()).await;
    let open = store(&spool, submission("default", &["b@site.test"]), b"x").await;

    let ids = |rows: Vec<smtp2go_gateway::spool::QueueRow>| -> Vec<SpoolId> {
        rows.into_iter().map(|row| row.id).collect()
    };
    assert_eq!(ids(spool.list(false, None, 10).await.unwrap()), [open]);
    assert_eq!(
        ids(spool.list(true, None, 10).await.unwrap()),
        [open, settled]
    );
    assert_eq!(
        ids(spool.list(true, Some(open), 10).await.unwrap()),
        [settled]
    );
    assert_eq!(ids(spool.list(true, None, 1).await.unwrap()), [open]);

    let day = Duration::from_secs(24 * 3600);
    assert_eq!(spool.forget_settled(day).await.unwrap(), 0);
    // At the next millisecond it is older than nothing.
    let settled_at = Clock.wall();
    while Clock.wall() <= settled_at {
        tokio::task::yield_now().await;
    }
    assert_eq!(spool.forget_settled(Duration::ZERO).await.unwrap(), 1);
    assert_eq!(ids(spool.list(true, None, 10).await.unwrap()), [open]);
    assert_eq!(spool.show(settled).await.unwrap(), None);
}

async fn many_commits_at_once_all_stand(spool: Spool) {
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let spool = spool.clone();
        tasks.spawn(
            async move { store(&spool, submission("default", &["b@site.test"]), b"x").await },
        );
    }
    let ids: std::collections::HashSet<SpoolId> = tasks.join_all().await.into_iter().collect();
    assert_eq!(ids.len(), 200);
    let leased: std::collections::HashSet<SpoolId> = lease(&spool, 1000)
        .await
        .iter()
        .map(|leased| leased.id.spool_id)
        .collect();
    assert_eq!(leased, ids);
}

#[tokio::test]
async fn a_restart_finds_everything_and_turns_attempts_into_doubts() {
    let directory = tempfile::tempdir().unwrap();
    let before = spool(sqlite(directory.path()));
    let to = ["b@site.test"];
    let flying = store(&before, submission("default", &to), &[b'x'; 200_000]).await;
    let leased = lease(&before, 1).await;
    let attempt = leased[0].attempt(Clock.wall());
    before.begin_attempt(attempt).await.unwrap();
    let waiting = store(&before, submission("default", &to), b"y").await;
    // Leased, but nothing sent: as if it had never been leased.
    assert_eq!(lease(&before, 1).await.len(), 1);
    let mut draft = Draft::begin(&before);
    draft.write(Bytes::from(vec![b'z'; 200_000])).await.unwrap();

    // What a crash leaves: the files as they are, nobody to clean up.
    let copy = crashed(directory.path());
    let spool = spool(sqlite(copy.path()));
    assert_eq!(spool.counts().of(State::InDoubt), 1);
    let leased = lease(&spool, 10).await;
    assert_eq!(leased.len(), 1, "a doubt is not due at once");
    assert_eq!(leased[0].id.spool_id, waiting);
    let record = spool.show(flying).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::InDoubt);
    assert_eq!(record.events[0].event, "interrupted");
    assert_eq!(
        spool.list(true, None, 10).await.unwrap().len(),
        2,
        "the draft is gone"
    );
}

/// Copies the files as they are, which is what a crash leaves.
fn crashed(directory: &Path) -> tempfile::TempDir {
    let copy = tempfile::tempdir().unwrap();
    for name in ["spool.db", "spool.db-wal"] {
        std::fs::copy(directory.join(name), copy.path().join(name)).unwrap();
    }
    copy
}

#[tokio::test]
async fn a_missing_database_beside_its_log_is_refused_and_the_log_kept() {
    let directory = tempfile::tempdir().unwrap();
    let before = spool(sqlite(directory.path()));
    store(&before, submission("default", &["b@site.test"]), b"x").await;
    let copy = crashed(directory.path());
    let (file, log) = (
        copy.path().join("spool.db"),
        copy.path().join("spool.db-wal"),
    );
    let kept = std::fs::read(&log).unwrap();
    for empty in [false, true] {
        if empty {
            std::fs::write(&file, b"").unwrap();
        } else {
            std::fs::rename(&file, copy.path().join("moved")).unwrap();
        }
        assert!(matches!(
            SqliteStore::open(&file),
            Err(SpoolError::Damaged(_))
        ));
        assert!(std::fs::read(&log).unwrap() == kept);
    }
}

#[tokio::test]
async fn a_closed_spool_lies_in_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let before = spool(sqlite(directory.path()));
    let id = store(&before, submission("default", &["b@site.test"]), b"x").await;
    before.close().await;
    assert!(matches!(before.show(id).await, Err(SpoolError::Stopped)));
    assert!(!directory.path().join("spool.db-wal").exists());
    let after = spool(sqlite(directory.path()));
    assert_eq!(lease(&after, 1).await[0].id.spool_id, id);
}

#[tokio::test]
async fn one_damaged_message_is_held_and_the_others_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let before = spool(sqlite(directory.path()));
    let damaged = store(&before, submission("default", &["b@site.test"]), b"x").await;
    let whole = store(&before, submission("default", &["b@site.test"]), b"y").await;
    before.close().await;
    let database = rusqlite::Connection::open(directory.path().join("spool.db")).unwrap();
    database
        .execute("DELETE FROM content WHERE key = 1048576 + 1", [])
        .unwrap();
    database.close().unwrap();

    let spool = spool(sqlite(directory.path()));
    let leased = lease(&spool, 10).await;
    assert_eq!(leased.len(), 1);
    assert_eq!(leased[0].id.spool_id, whole);
    let record = spool.show(damaged).await.unwrap().unwrap();
    assert_eq!(record.dispatches[0].state, State::Held);
    assert_eq!(record.events[0].event, "held");
}

#[tokio::test]
async fn a_due_time_from_a_wrong_clock_is_corrected_at_start() {
    let directory = tempfile::tempdir().unwrap();
    let before = spool(sqlite(directory.path()));
    store(&before, submission("default", &["b@site.test"]), b"x").await;
    before.close().await;
    let database = rusqlite::Connection::open(directory.path().join("spool.db")).unwrap();
    let years = Clock.wall().after(Duration::from_secs(20 * 365 * 86_400));
    database
        .execute("UPDATE dispatch SET due_at = ?1", [years.0])
        .unwrap();
    database.close().unwrap();
    let after = spool(sqlite(directory.path()));
    assert_eq!(lease(&after, 1).await.len(), 1);
}

#[tokio::test]
async fn a_spool_of_an_older_version_is_brought_up_to_date_with_what_waits_in_it() {
    let directory = tempfile::tempdir().unwrap();
    let before = spool(sqlite(directory.path()));
    let id = store(&before, submission("default", &["b@site.test"]), b"x").await;
    let nobody = Submission {
        device: None,
        lane: "192.0.2.7".to_owned(),
        ..submission("default", &["b@site.test"])
    };
    store(&before, nobody, b"x").await;
    before.close().await;
    let database = rusqlite::Connection::open(directory.path().join("spool.db")).unwrap();
    let back_to_version_2 = "
        DROP INDEX dispatch_queue;
        ALTER TABLE dispatch DROP COLUMN lane;
        ALTER TABLE dispatch DROP COLUMN octets;
        CREATE INDEX dispatch_queue ON dispatch (account, state, due_at) WHERE state <= 4;
        DROP TABLE rules;
        DROP TABLE refusal;
        DROP TABLE note;
        ALTER TABLE dispatch DROP COLUMN trying_ms;
        ALTER TABLE dispatch DROP COLUMN trying_run;
        ALTER TABLE dispatch DROP COLUMN trying_mark;
        ALTER TABLE dispatch DROP COLUMN attempted_at;
        ALTER TABLE dispatch DROP COLUMN doubt_since;
        ALTER TABLE dispatch DROP COLUMN hold_next;
        ALTER TABLE dispatch DROP COLUMN partly;
        ALTER TABLE message DROP COLUMN shared;
        PRAGMA user_version = 2;";
    database.execute_batch(back_to_version_2).unwrap();
    database.close().unwrap();

    let after = spool(sqlite(directory.path()));
    assert_eq!(after.lane_octets("default", "printer"), 20);
    assert_eq!(after.lane_octets("default", "192.0.2.7"), 20);
    let leased = lease(&after, 10).await;
    assert_eq!(leased.len(), 2);
    let printer = leased.iter().find(|leased| leased.device.is_some());
    assert_eq!(printer.unwrap().id.spool_id, id);
    attempt(&after, &leased[0], accepted()).await;
    after.close().await;
    let again = spool(sqlite(directory.path()));
    let left = again.lane_octets("default", "printer") + again.lane_octets("default", "192.0.2.7");
    assert_eq!(left, 20, "the count is stored");
}

#[tokio::test]
async fn a_second_process_is_told_that_the_spool_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let _first = sqlite(directory.path());
    let second = SqliteStore::open(&directory.path().join("spool.db"));
    assert!(matches!(second, Err(SpoolError::InUse)));
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool.db");
    let foreign = directory.path().join("foreign.db");
    rusqlite::Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE their_own (x); INSERT INTO their_own VALUES (1)")
        .unwrap();
    let foreign = std::fs::read(foreign).unwrap();
    let journal = directory.path().join("spool.db-journal");
    std::fs::write(&path, &foreign).unwrap();
    std::fs::write(&journal, b"junk").unwrap();
    assert!(matches!(SqliteStore::open(&path), Err(SpoolError::Foreign)));
    assert!(
        std::fs::read(&path).unwrap() == foreign,
        "with a journal beside it"
    );
    for leftover in [&path, &journal] {
        drop(std::fs::remove_file(leftover));
    }
    let ours = {
        drop(sqlite(directory.path()));
        std::fs::read(&path).unwrap()
    };
    let mut newer = ours.clone();
    // user_version, big-endian, at octet 60 of the file.
    newer[60..64].copy_from_slice(&99u32.to_be_bytes());
    let mut damaged = ours.clone();
    damaged[8192..].fill(0xa5);
    let truncated = ours[..ours.len() / 2].to_vec();
    for (octets, expected) in [
        (&b"not a database at all, but a text"[..], "Foreign"),
        (&b"short"[..], "Foreign"),
        (&foreign, "Foreign"),
        (&newer, "Newer { found: 99, known: 6 }"),
        (&damaged, "Damaged"),
        (&truncated, "Damaged"),
    ] {
        std::fs::write(&path, octets).unwrap();
        let refused = match SqliteStore::open(&path) {
            Ok(_) => panic!("opened, expected {expected}"),
            Err(error) => format!("{error:?}"),
        };
        assert!(
            refused.starts_with(expected),
            "{refused}, expected {expected}"
        );
        assert!(
            std::fs::read(&path).unwrap() == octets,
            "{expected}: the file was changed"
        );
    }
}

#[tokio::test]
async fn a_log_that_was_taken_away_is_missed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("spool.db");
    let killed = tempfile::tempdir().unwrap();
    let first = spool(sqlite(directory.path()));
    store(&first, submission("default", &["b@site.test"]), b"x").await;
    // As SIGKILL leaves it.
    for file in ["spool.db", "spool.db-wal", "spool.db-open"] {
        std::fs::copy(directory.path().join(file), killed.path().join(file)).unwrap();
    }
    first.close().await;
    assert!(!path.with_extension("db-open").exists(), "stopped in order");
    let _again = sqlite(directory.path());

    let log = killed.path().join("spool.db-wal");
    std::fs::rename(&log, killed.path().join("kept")).unwrap();
    let refused = SqliteStore::open(&killed.path().join("spool.db"));
    assert!(matches!(refused, Err(SpoolError::LogMissing)));
    std::fs::rename(killed.path().join("kept"), &log).unwrap();
    let back = spool(sqlite(killed.path()));
    assert_eq!(back.counts().of(State::Queued), 1);
}

#[tokio::test]
async fn an_idle_spool_gives_its_room_back() {
    let directory = tempfile::tempdir().unwrap();
    let spool = spool(sqlite(directory.path()));
    let body = vec![b'y'; 12_000_000];
    store(&spool, submission("default", &["b@site.test"]), &body).await;
    let leased = lease(&spool, 1).await;
    attempt(&spool, &leased[0], accepted()).await;
    crate::support::eventually("free room to be counted as room", async || {
        let disk = spool.disk_use();
        (disk.reusable > 11_000_000 && disk.used < 1_000_000).then_some(())
    })
    .await;
    crate::support::eventually("the file to shrink", async || {
        spool.tidy().await.unwrap();
        let length = std::fs::metadata(directory.path().join("spool.db"))
            .unwrap()
            .len();
        (length < 6_000_000).then_some(())
    })
    .await;
}

#[tokio::test]
async fn history_goes_before_it_keeps_mail_out() {
    let directory = tempfile::tempdir().unwrap();
    let settings = SpoolSettings {
        history_from: 400_000,
        ..SETTINGS
    };
    let spool = Spool::start(Box::new(sqlite(directory.path())), settings, Clock).unwrap();
    let mut first = None;
    for _ in 0..1_000 {
        let id = store(&spool, submission("default", &["b@site.test"]), b"x").await;
        first.get_or_insert(id);
        for leased in lease(&spool, 1).await {
            attempt(&spool, &leased, accepted()).await;
        }
    }
    assert!(spool.used_octets() < 500_000, "{}", spool.used_octets());
    assert!(spool.show(first.unwrap()).await.unwrap().is_none());
}

#[tokio::test]
async fn a_message_that_is_tried_for_ever_does_not_use_up_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let before = spool(sqlite(directory.path()));
    let to = ["b@site.test", "c@site.test"];
    let id = store(&before, submission("default", &to), b"x").await;
    before.close().await;
    // As if it had been tried for years.
    let database = rusqlite::Connection::open(directory.path().join("spool.db")).unwrap();
    let years = "UPDATE message SET events = 8190";
    database.execute_batch(years).unwrap();
    database.close().unwrap();

    let after = spool(sqlite(directory.path()));
    for _ in 0..5 {
        for leased in lease(&after, 2).await {
            let deferred = Transition::Waiting(Duration::ZERO, why());
            attempt(&after, &leased, deferred).await;
        }
    }
    let next = store(&after, submission("default", &["d@site.test"]), b"x").await;
    for leased in lease(&after, 3).await {
        attempt(&after, &leased, accepted()).await;
    }
    let record = after.show(id).await.unwrap().unwrap();
    assert_eq!(
        record.events.len(),
        4,
        "two kept one by one, and the newest of each"
    );
    let last = &record.events[2..];
    assert!(last.iter().all(|event| event.event == "accepted"));
    let record = after.show(next).await.unwrap().unwrap();
    assert_eq!(record.events.len(), 1, "the next message's own");
}
