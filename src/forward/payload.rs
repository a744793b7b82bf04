//! The body of an `/email/mime` call, streamed from the spool.
//!
//! `{"mime_email":"` + base64(trace headers, edited header block, empty line, body) +
//! `","fastaccept":false}`. The length is known before the first octet, and at most one chunk of the
//! message is in memory.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::watch;

use crate::mail::{EditError, apply_edits};
use crate::provider::Upload;
use crate::spool::{Content, Leased, Spool, SpoolError};

/// Prepares the request body of one attempt.
///
/// # Errors
/// When the stored edits don't fit the stored header block.
pub fn upload(leased: Leased, spool: Spool) -> Result<Upload, EditError> {
    let head = apply_edits(&leased.head, leased.shared.edits_of(&leased.dispatch))?;
    let mut start = Vec::with_capacity(leased.prefix.len() + head.len() + 2);
    start.extend_from_slice(&leased.prefix);
    start.extend_from_slice(&head);
    start.extend_from_slice(b"\r\n");
    let octets = payload_octets(start.len() as u64 + leased.content.octets());
    let (told, complete) = watch::channel(false);
    let unreadable = Arc::new(AtomicBool::new(false));
    let payload = Payload {
        pieces: Mutex::new(Box::pin(pieces(start, leased, spool))),
        remaining: octets,
        complete: told,
        unreadable: Arc::clone(&unreadable),
    };
    Ok(Upload {
        body: reqwest::Body::wrap(payload),
        octets,
        complete,
        unreadable,
    })
}

/// Octets of the request for a message of `message` octets.
pub fn payload_octets(message: u64) -> u64 {
    message.div_ceil(3) * 4 + (OPEN.len() + CLOSE.len()) as u64
}

const OPEN: &[u8] = b"{\"mime_email\":\"";
const CLOSE: &[u8] = b"\",\"fastaccept\":false}";

/// The message's pieces, encoded.
fn pieces(
    start: Vec<u8>,
    leased: Leased,
    spool: Spool,
) -> impl Stream<Item = Result<Bytes, SpoolError>> + Send {
    let chunks = match &leased.content {
        Content::Inline(_) => 0,
        Content::Chunked { chunks, .. } => *chunks,
    };
    let source = Source {
        start: Some(start),
        leased,
        spool,
        next: 0,
        chunks,
        carry: Vec::new(),
    };
    stream::try_unfold(Some(source), |source| async move {
        let Some(mut source) = source else {
            return Ok(None);
        };
        let (piece, more) = source.encode_next().await?;
        Ok(Some((piece, more.then_some(source))))
    })
}

struct Source {
    start: Option<Vec<u8>>,
    leased: Leased,
    spool: Spool,
    next: u32,
    chunks: u32,
    /// Octets that don't fill a group of three.
    carry: Vec<u8>,
}

impl Source {
    /// The next encoded piece, and whether more follow.
    async fn encode_next(&mut self) -> Result<(Bytes, bool), SpoolError> {
        let mut out = String::new();
        let mut raw = std::mem::take(&mut self.carry);
        match self.start.take() {
            Some(start) => {
                out.push_str(std::str::from_utf8(OPEN).unwrap_or_default());
                raw.extend_from_slice(&start);
                if let Content::Inline(body) = &self.leased.content {
                    raw.extend_from_slice(body);
                }
            }
            None => {
                raw.extend_from_slice(&self.spool.chunk(&self.leased, self.next).await?);
                self.next += 1;
            }
        }
        let more = self.next < self.chunks;
        if more {
            self.carry = raw.split_off(raw.len() - raw.len() % 3);
        }
        STANDARD.encode_string(&raw, &mut out);
        if !more {
            out.push_str(std::str::from_utf8(CLOSE).unwrap_or_default());
        }
        Ok((Bytes::from(out), more))
    }
}

type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, SpoolError>> + Send>>;

struct Payload {
    /// Never locked: the client wants its bodies shareable, and this is how a stream becomes that.
    pieces: Mutex<Pieces>,
    remaining: u64,
    complete: watch::Sender<bool>,
    unreadable: Arc<AtomicBool>,
}

impl Body for Payload {
    type Data = Bytes;
    type Error = SpoolError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SpoolError>>> {
        let pieces = self
            .pieces
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        let polled = pieces.as_mut().poll_next(context);
        match polled {
            Poll::Ready(Some(Ok(piece))) => {
                self.remaining = self.remaining.saturating_sub(piece.len() as u64);
                if self.remaining == 0 {
                    self.complete.send_replace(true);
                }
                Poll::Ready(Some(Ok(Frame::data(piece))))
            }
            Poll::Ready(Some(Err(error))) => {
                self.unreadable.store(true, Ordering::Release);
                Poll::Ready(Some(Err(error)))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.remaining == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.remaining)
    }
}
