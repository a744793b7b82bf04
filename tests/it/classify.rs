//! The whole table of outcomes: what came back, and what becomes of the message and the account.

use std::fmt::Write as _;
use std::time::Duration;

use smtp2go_gateway::config::Secret;
use smtp2go_gateway::forward::classify;
use smtp2go_gateway::http::{ClientSettings, client};
use smtp2go_gateway::provider::{Account, Deadlines, Provider, Upload};
use tokio::sync::watch;

use crate::support::api::{Act, Api};
use crate::support::golden::assert_golden;

/// Every row is a real HTTP answer, read by the real client.
const ROWS: &[Act] = &[
    Act::Answer(
        "200 OK",
        r#"{"request_id":"r","data":{"succeeded":1,"failed":0,"failures":[],"email_id":"e"}}"#,
    ),
    Act::Answer("200 OK", r#"{"request_id":"r","data":{"email_id":"e"}}"#),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":1,"failed":0,"request_id":"inner"}}"#,
    ),
    Act::Answer("200 OK", r#"{"succeeded":1,"email_id":"root"}"#),
    Act::Answer(
        "200 OK",
        r#"{"data":{"email_response":{"succeeded":1,"email_id":"deep"}}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["An error occurred during the SMTP request: no\nway - Code(550)"],"email_id":""}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["An error occurred during the SMTP request: 451 later"],"email_id":""}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["unable to verify sender address"]}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":[]}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["550 that IP address on this account is not allowed to send"]}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["API key ratelimit exceeded"]}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":0,"failures":[],"email_id":""}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"error":"bad","error_code":"E_ApiResponseCodes.API_EXCEPTION"}}"#,
    ),
    // The format of `failures` is not published; a mail that was accepted must not be sent again for it.
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":1,"failed":0,"failures":{},"email_id":"e"}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":"1","failed":"0","failures":""}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":[{"error":"550 no"}]}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":"550 no"}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"failed":1,"failures":["no - Code(451)"],"error":"failed"}}"#,
    ),
    Act::Answer(
        "401 Unauthorized",
        r#"{"data":{"error":"The API key api-SECRET is unknown"}}"#,
    ),
    Act::Answer(
        "413 Payload Too Large",
        r#"{"data":{"error":"over the monthly quota of octets"}}"#,
    ),
    Act::Answer("200 OK", "[]"),
    Act::Answer("200 OK", ""),
    Act::Answer(
        "400 Bad Request",
        r#"{"request_id":"r","data":{"error":"The JSON payload does not fit this call.","error_code":"E_ApiResponseCodes.NON_VALIDATING_IN_PAYLOAD","field_validation_errors":{"fieldname":"mime_email","message":"not base64"}}}"#,
    ),
    Act::Answer(
        "400 Bad Request",
        r#"{"data":{"error":"Failed","error_code":"E_ApiResponseCodes.API_EXCEPTION"}}"#,
    ),
    Act::Answer(
        "400 Bad Request",
        r#"{"data":{"error":"You do not have permission to access this API endpoint","error_code":"E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"}}"#,
    ),
    Act::Answer(
        "400 Bad Request",
        r#"{"data":{"error":"bad key","error_code":"E_ApiResponseCodes.INVALID_IN_PAYLOAD"}}"#,
    ),
    Act::Answer(
        "400 Bad Request",
        r#"{"data":{"error":"This request is coming from an IP address that isn't in the IP allow list"}}"#,
    ),
    Act::Answer(
        "400 Bad Request",
        r#"{"data":{"error":"This request is coming from an IP address that isn’t in the IP allow list"}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":[{"error":"550 that IP address is not allowed to send"}]}}"#,
    ),
    // A command that the provider wrote itself.
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["503-All RCPT commands were rejected with this error:\n503-unable to verify sender address\n503 Valid RCPT command must precede DATA"]}}"#,
    ),
    // What is quoted is the mail's.
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["550 the file \"Monthly quota.xls\" is not allowed - Code(550)"]}}"#,
    ),
    Act::Answer(
        "200 OK",
        r#"{"data":{"succeeded":0,"failed":1,"failures":["An error occurred during the SMTP request: no - Code(250)"]}}"#,
    ),
    Act::Answer(
        "400 Bad Request",
        r#"{"data":{"error":"The mail was not sent: \"Monthly quota exceeded\"","error_code":"E_ApiResponseCodes.API_EXCEPTION"}}"#,
    ),
    Act::Answer("400 Bad Request", "<html>some proxy</html>"),
    Act::Answer("401 Unauthorized", ""),
    Act::Answer("402 Payment Required", r#"{"data":{"error":"over"}}"#),
    Act::Answer(
        "403 Forbidden",
        r#"{"error":"You do not have permission","error_code":"E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"}"#,
    ),
    Act::Answer("404 Not Found", "<html>wrong address</html>"),
    Act::Answer("408 Request Timeout", ""),
    Act::Answer("413 Payload Too Large", ""),
    Act::Answer(
        "422 Unprocessable",
        r#"{"data":{"error":"bad","error_code":"E_ApiResponseCodes.API_EXCEPTION"}}"#,
    ),
    Act::Answer("429 Too Many Requests", ""),
    Act::Answer(
        "429 Too Many Requests\r\nretry-after: 120",
        r#"{"data":{"error_code":"E_ApiResponseCodes.REQ_LIMIT_EXCEEDED"}}"#,
    ),
    Act::Answer("301 Moved Permanently\r\nlocation: http://127.0.0.1:1/", ""),
    Act::Answer("500 Internal Server Error", "<html>oops</html>"),
    Act::Answer("502 Bad Gateway", ""),
    Act::Answer("503 Service Unavailable", ""),
    Act::Answer("504 Gateway Timeout", ""),
    Act::CutDuring,
    Act::CutAfter,
    Act::Silence,
];

#[tokio::test]
async fn every_answer_has_the_outcome_that_the_design_gives_it() {
    let client = client(&ClientSettings {
        connect_timeout: Duration::from_secs(5),
        ca_file: None,
        proxy: false,
    })
    .unwrap();
    let mut table = String::new();
    for (index, act) in ROWS.iter().enumerate() {
        let api = Api::start(&ROWS[index..=index]).await;
        let account = Account {
            base_url: api.url(),
            key: Secret::new("api-SECRET".to_owned()),
        };
        let deadlines = Deadlines {
            connect: Duration::from_secs(5),
            answer: Duration::from_millis(500),
            upload_rate_min: 1_000_000,
        };
        let provider = Provider::new(client.clone(), account, deadlines);
        let complete = !matches!(act, Act::CutDuring);
        let (_told, complete) = watch::channel(complete);
        let upload = Upload {
            body: "{\"mime_email\":\"eA==\"}".into(),
            octets: 21,
            complete,
            unreadable: Default::default(),
        };
        let classified = classify(&provider.send_mime(upload).await, 1000);
        let outcome = format!("{:?}", classified.outcome);
        assert!(
            !outcome.contains("SECRET"),
            "an answer may quote the key: {outcome}"
        );
        writeln!(
            table,
            "{act:?}\n    {outcome}\n    account {:?}",
            classified.account
        )
        .unwrap();
    }
    assert_golden("classify.txt", &table);
}
