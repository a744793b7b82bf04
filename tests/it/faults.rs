//! One function per fault: what the provider does wrong, and what must become of the message.

use smtp2go_gateway::simulator::{CutWhen, Fault, ScriptedFault};
use smtp2go_gateway::spool::{MessageRecord, OperatorAction, State};

use crate::support::site::Site;

const MESSAGE: &str = "From: a@example.com\r\nTo: b@example.org\r\n\r\nx\r\n";

/// Sends one message while `/email/mime` has this fault so often, returns its trace and how often it was
/// delivered.
async fn with(fault: Fault, times: usize) -> (MessageRecord, usize) {
    with_all(vec![fault; times]).await
}

/// Sends one message while `/email/mime` has these faults one after the other.
async fn with_all(faults: Vec<Fault>) -> (MessageRecord, usize) {
    let site = Site::start("").await;
    site.simulator
        .script(faults.into_iter().map(|fault| ScriptedFault {
            endpoint: Some("/email/mime".to_owned()),
            times: 1,
            fault,
        }));
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let record = site.settled(id).await;
    let deliveries = site.simulator.deliveries();
    let delivered = deliveries
        .iter()
        .filter(|delivery| !delivery.recipients.is_empty());
    let delivered = delivered.count();
    site.stop().await;
    (record, delivered)
}

fn words(record: &MessageRecord) -> Vec<&str> {
    record.events.iter().map(|event| &*event.event).collect()
}

fn status(status: u16, body: &str) -> Fault {
    Fault::Status {
        status,
        body: body.to_owned(),
        retry_after: None,
    }
}

#[tokio::test]
async fn busy_is_waited_out() {
    let (record, delivered) = with(status(503, "<html>busy</html>"), 3).await;
    assert_eq!(
        words(&record),
        ["deferred", "deferred", "deferred", "accepted"]
    );
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_server_error_is_looked_up_before_it_is_repeated() {
    let (record, delivered) = with(status(500, ""), 1).await;
    assert_eq!(words(&record), ["unknown", "not_found", "accepted"]);
    assert!(record.dispatches[0].possibly_duplicate);
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_cut_after_accepting_is_found_and_not_sent_again() {
    let fault = Fault::Cut {
        when: CutWhen::AfterAccepting,
    };
    let (record, delivered) = with(fault, 1).await;
    assert_eq!(words(&record), ["unknown", "confirmed"]);
    assert!(!record.dispatches[0].possibly_duplicate);
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_cut_after_the_body_is_a_doubt_and_one_delivery() {
    let fault = Fault::Cut {
        when: CutWhen::AfterBody,
    };
    let (record, delivered) = with(fault, 1).await;
    assert_eq!(words(&record), ["unknown", "not_found", "accepted"]);
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_cut_before_the_body_ends_in_one_delivery() {
    let fault = Fault::Cut {
        when: CutWhen::Before,
    };
    let (record, delivered) = with(fault, 1).await;
    // A small body may have left already: then it is a doubt, and the provider is asked.
    assert_eq!(words(&record).last(), Some(&"accepted"));
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_cut_in_the_middle_of_the_body_is_no_doubt() {
    let site = Site::start("").await;
    site.simulator.script([ScriptedFault {
        endpoint: Some("/email/mime".to_owned()),
        times: 1,
        fault: Fault::Cut {
            when: CutWhen::DuringBody,
        },
    }]);
    // More than any socket buffer holds, so that the end can't have left.
    let message = format!("{MESSAGE}{}", "x\r\n".repeat(7_000_000));
    let id = site
        .send("a@example.com", &["b@example.org"], &message)
        .await;
    let record = site.settled(id).await;
    assert_eq!(words(&record), ["deferred", "accepted"]);
    assert!(!record.dispatches[0].possibly_duplicate);
    assert_eq!(site.simulator.deliveries().len(), 1);
    site.stop().await;
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_a_doubt() {
    let (record, delivered) = with(Fault::WrongLength, 1).await;
    assert_eq!(words(&record), ["unknown", "not_found", "accepted"]);
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_slow_answer_is_waited_for() {
    let (record, delivered) = with(Fault::Delay { ms: 300 }, 1).await;
    assert_eq!(words(&record), ["accepted"]);
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_refusal_bounces_and_a_temporary_one_does_not() {
    let refuse = |text: &str| Fault::Refuse {
        text: text.to_owned(),
        recorded: false,
        unheard: false,
    };
    let (record, delivered) = with(refuse("no - Code(550)"), 1).await;
    assert_eq!((record.dispatches[0].state, delivered), (State::Bounced, 0));
    let (record, delivered) = with(refuse("later - Code(451)"), 1).await;
    assert_eq!(words(&record), ["deferred", "accepted"]);
    assert_eq!(delivered, 1);
}

fn refused(text: &str, unheard: bool) -> Fault {
    Fault::Refuse {
        text: text.to_owned(),
        recorded: true,
        unheard,
    }
}

#[tokio::test]
async fn an_earlier_refusal_that_shows_as_an_event_is_not_taken_for_a_delivery() {
    let lost = Fault::Cut {
        when: CutWhen::AfterBody,
    };
    let (record, delivered) = with_all(vec![refused("later - Code(451)", false), lost]).await;
    assert_eq!(delivered, 1, "{record:?}");
    assert_eq!(
        words(&record),
        ["deferred", "unknown", "not_found", "accepted"]
    );
}

#[tokio::test]
async fn a_refusal_whose_answer_was_lost_is_a_refusal() {
    let (record, delivered) = with_all(vec![refused("no - Code(550)", true)]).await;
    assert_eq!(words(&record), ["unknown", "bounced"]);
    assert_eq!((record.dispatches[0].state, delivered), (State::Bounced, 0));
    let (record, delivered) = with_all(vec![refused("later - Code(451)", true)]).await;
    assert_eq!(words(&record), ["unknown", "deferred", "accepted"]);
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_refused_repeat_of_an_open_doubt_is_repeated_again_and_not_looked_up_for_ever() {
    let lost = Fault::Cut {
        when: CutWhen::AfterBody,
    };
    let (record, delivered) = with_all(vec![lost, refused("later - Code(451)", true)]).await;
    assert_eq!(
        words(&record),
        ["unknown", "not_found", "unknown", "not_found", "accepted"]
    );
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn a_deferred_repeat_is_looked_up_again_before_the_next() {
    let lost = Fault::Cut {
        when: CutWhen::AfterBody,
    };
    let (record, delivered) = with_all(vec![lost, status(503, "")]).await;
    assert_eq!(
        words(&record),
        ["unknown", "not_found", "deferred", "not_found", "accepted"]
    );
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn partial_acceptance_is_never_repeated_unmarked() {
    let site = Site::start("").await;
    let partly =
        r#"{"data":{"succeeded":1,"failed":1,"failures":["x - Code(451)"],"email_id":"e"}}"#;
    site.simulator.script([ScriptedFault {
        endpoint: Some("/email/mime".to_owned()),
        times: 1,
        fault: status(200, partly),
    }]);
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let held = |record: &MessageRecord| record.dispatches[0].state == State::Held;
    let record = site.record_when(id, held).await;
    assert_eq!(words(&record), ["unknown", "not_found", "held"]);
    // An operator may send it all the same: that is marked.
    let spool = site.gateway.spool();
    spool.order(id, OperatorAction::Release).await.unwrap();
    let record = site.settled(id).await;
    assert_eq!(words(&record)[3..], ["released", "accepted"]);
    assert!(record.dispatches[0].possibly_duplicate);
    site.stop().await;
}

#[tokio::test]
async fn a_refusal_without_a_word_of_the_apis_marks_the_repeat() {
    let (record, _) = with(status(503, "<html>proxy</html>"), 1).await;
    assert!(record.dispatches[0].possibly_duplicate);
    let worded = r#"{"request_id":"r","data":{"error":"busy"}}"#;
    let (record, _) = with(status(503, worded), 1).await;
    assert!(!record.dispatches[0].possibly_duplicate);
}

#[tokio::test]
async fn an_empty_answer_of_the_search_does_not_say_that_there_is_nothing() {
    let site = Site::start("").await;
    let fault = |endpoint: &str, fault| ScriptedFault {
        endpoint: Some(endpoint.to_owned()),
        times: 1,
        fault,
    };
    let lost = Fault::Cut {
        when: CutWhen::AfterAccepting,
    };
    let search = "/activity/search";
    site.simulator.script([
        fault("/email/mime", lost),
        fault(search, status(200, "")),
        fault(search, status(200, "{}")),
        fault(search, status(200, r#"{"data":null}"#)),
    ]);
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let record = site.settled(id).await;
    assert_eq!(
        words(&record),
        [
            "unknown",
            "not_asked",
            "not_asked",
            "not_asked",
            "confirmed"
        ]
    );
    assert_eq!(site.simulator.deliveries().len(), 1);
    site.stop().await;
}

#[tokio::test]
async fn a_throttled_search_is_not_asked_again_before_its_time() {
    let site = Site::start("").await;
    let search = "/activity/search";
    let fault = |endpoint: &str, fault| ScriptedFault {
        endpoint: Some(endpoint.to_owned()),
        times: 1,
        fault,
    };
    let throttled = Fault::Status {
        status: 429,
        body: String::new(),
        retry_after: Some(1),
    };
    let lost = Fault::Cut {
        when: CutWhen::AfterAccepting,
    };
    site.simulator
        .script([fault("/email/mime", lost), fault(search, throttled)]);
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let record = site.settled(id).await;
    // Nothing was learnt, and nothing is written down for it.
    assert_eq!(words(&record), ["unknown", "confirmed"]);
    assert_eq!(site.simulator.calls(search), 2);
    site.stop().await;
}

#[tokio::test]
async fn an_event_without_a_recipient_confirms_nothing() {
    let site = Site::start("").await;
    let line = |endpoint: &str, times, fault| ScriptedFault {
        endpoint: Some(endpoint.to_owned()),
        times,
        fault,
    };
    let lost = Fault::Cut {
        when: CutWhen::AfterAccepting,
    };
    let members = vec!["recipient".to_owned()];
    site.simulator.script([
        line("/email/mime", 1, lost),
        line("/activity/search", 1, Fault::Omit { members }),
    ]);
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    let record = site.settled(id).await;
    assert_eq!(words(&record), ["unknown", "not_found", "confirmed"]);
    assert_eq!(site.simulator.deliveries().len(), 1);
    site.stop().await;
}

#[tokio::test]
async fn a_refusal_of_the_account_that_is_found_by_a_look_up_bounces_nothing() {
    for text in [
        "550 that SMTP username's account is not allowed to send - Code(550)",
        "503-unable to verify sender address\n503 Valid RCPT command must precede DATA",
        "550 API key ratelimit exceeded",
    ] {
        let refused = Fault::Refuse {
            text: text.to_owned(),
            recorded: true,
            unheard: true,
        };
        let (record, delivered) = with(refused, 1).await;
        assert_eq!(
            words(&record),
            ["unknown", "deferred", "accepted"],
            "{text}"
        );
        assert_eq!(delivered, 1, "{text}");
    }
}

#[tokio::test]
async fn mail_that_was_taken_in_part_is_looked_up() {
    let partly = Fault::Partly {
        text: "mailbox is full - Code(452)".to_owned(),
    };
    let (record, delivered) = with(partly, 1).await;
    assert_eq!(words(&record), ["unknown", "confirmed"]);
    assert_eq!(delivered, 1);
}

#[tokio::test]
async fn faults_are_scripted_over_http_too() {
    // Without the gateway's own looks at the rules: the first fault is for whoever calls.
    let site = Site::start("[sync]\nenabled = false").await;
    let url = format!("http://{}/_faults", site.simulator.address());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let script = r#"[{"fault":{"kind":"status","status":503}},{"endpoint":"/email/mime","times":2,"fault":{"kind":"cut","when":"after_accepting"}}]"#;
    let request = client
        .post(&url)
        .header("content-type", "application/json")
        .body(script);
    assert_eq!(request.send().await.unwrap().status().as_u16(), 200);
    let id = site
        .send("a@example.com", &["b@example.org"], MESSAGE)
        .await;
    assert_eq!(
        words(&site.settled(id).await),
        ["deferred", "unknown", "confirmed"]
    );
    let left = client.get(&url).send().await.unwrap().text().await.unwrap();
    assert!(left.contains("\"times\":1"), "{left}");
    site.stop().await;
}

#[tokio::test]
async fn connections_cut_at_every_point_lose_nothing_and_repeat_nothing_unmarked() {
    let site = Site::start("").await;
    let points = [CutWhen::Before, CutWhen::AfterBody, CutWhen::AfterAccepting];
    site.simulator.script((0..30).map(|n| ScriptedFault {
        // Now and then a look-up goes wrong, too.
        endpoint: (n % 5 != 4).then(|| "/email/mime".to_owned()),
        times: 1,
        fault: Fault::Cut {
            when: points[n % points.len()],
        },
    }));
    let mut ids = Vec::new();
    for _ in 0..60 {
        ids.push(
            site.send("a@example.com", &["b@example.org"], MESSAGE)
                .await,
        );
    }
    let mut marked = 0;
    for id in ids {
        let record = site.settled(id).await;
        assert_eq!(record.dispatches[0].state, State::Accepted, "{record:?}");
        marked += usize::from(record.dispatches[0].possibly_duplicate);
    }
    let delivered = site.simulator.deliveries().len();
    assert!(
        (60..=60 + marked).contains(&delivered),
        "{delivered} delivered, {marked} marked"
    );
    site.stop().await;
}
