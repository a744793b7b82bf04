//! A provider that answers by script, down to the octet: for what the simulator is too well-bred for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What to do with one request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Act {
    /// Read it whole, answer with this status line and body.
    Answer(&'static str, &'static str),
    /// Read it whole, say nothing, close.
    CutAfter,
    /// Close before the end of the request.
    CutDuring,
    /// Read it whole and keep the client waiting.
    Silence,
}

pub(crate) const ACCEPTED: Act = Act::Answer(
    "200 OK",
    r#"{"request_id":"r1","data":{"succeeded":1,"failed":0,"failures":[],"email_id":"e1"}}"#,
);

const NOT_PERMITTED: &str =
    r#"{"request_id":"r3","data":{"error_code":"E_ApiResponseCodes.ENDPOINT_PERMISSION_DENIED"}}"#;

/// To a probe.
pub(crate) const KEY_WORKS: Act = Act::Answer("200 OK", r#"{"request_id":"r2","data":["*"]}"#);

pub(crate) struct Api {
    address: SocketAddr,
    requests: Arc<AtomicUsize>,
}

impl Api {
    /// The acts in order; the last one is repeated.
    pub(crate) async fn start(acts: &'static [Act]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(perform(stream, acts, Arc::clone(&count)));
            }
        });
        Self { address, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v3", self.address)
    }

    /// Mails sent so far, accepted or not.
    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn perform(mut stream: TcpStream, acts: &'static [Act], count: Arc<AtomicUsize>) {
    let mut request = Vec::new();
    let end = loop {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
        if let Some(end) = find(&request, b"\r\n\r\n") {
            break end + 4;
        }
    };
    let head = String::from_utf8_lossy(&request[..end]).to_lowercase();
    // Look-ups are no part of the script: nothing is known to this provider.
    let act = if head.starts_with("post /v3/activity/search") {
        Act::Answer("200 OK", r#"{"data":{"events":[],"total_events":0}}"#)
    } else if head
        .split(' ')
        .nth(1)
        .is_some_and(|path| path.ends_with("/view"))
    {
        // Neither are looks at the account's rules: this key may only send.
        Act::Answer("400 Bad Request", NOT_PERMITTED)
    } else {
        let number = count.fetch_add(1, Ordering::SeqCst);
        acts[number.min(acts.len() - 1)]
    };
    if matches!(act, Act::CutDuring) {
        return;
    }
    let length: usize = head
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next())
        .and_then(|length| length.parse().ok())
        .expect("a request says how long it is");
    while request.len() < end + length {
        if stream.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return;
        }
    }
    match act {
        Act::Answer(status, body) => {
            let answer = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
                body.len()
            );
            // The client may have given up; that is what some tests are about.
            drop(stream.write_all(answer.as_bytes()).await);
        }
        Act::Silence => drop(stream.read(&mut [0]).await),
        Act::CutAfter | Act::CutDuring => {}
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}
