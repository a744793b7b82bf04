//! A request's body that has to keep coming.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::BoxError;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Sleep, sleep_until};

use crate::clock::Clock;

use super::places::Bounds;

/// Fails where the next piece does not come in time. Time counts only while somebody waits for it.
pub(super) struct Coming {
    body: Incoming,
    bounds: Bounds,
    clock: Clock,
    awaited: Option<Awaited>,
}

struct Awaited {
    since: Instant,
    octets: u64,
    alarm: Pin<Box<Sleep>>,
}

impl Coming {
    pub(super) fn new(body: Incoming, bounds: Bounds, clock: Clock) -> Self {
        Self {
            body,
            bounds,
            clock,
            awaited: None,
        }
    }
}

impl Body for Coming {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let coming = &mut *self;
        let frame = Pin::new(&mut coming.body).poll_frame(context);
        let (now, bounds) = (coming.clock.now(), coming.bounds);
        let awaited = coming.awaited.get_or_insert_with(|| Awaited {
            since: now,
            octets: 0,
            alarm: Box::pin(sleep_until((now + bounds.body).into())),
        });
        match frame {
            Poll::Ready(Some(Ok(frame))) => {
                awaited.octets += frame.data_ref().map_or(0, |data| data.len() as u64);
                if awaited.octets > bounds.body_octets {
                    return Poll::Ready(Some(Err("the body of the request is too big".into())));
                }
                let earned = Duration::from_secs(awaited.octets / bounds.body_rate.max(1));
                let slow = awaited.since + bounds.body + earned;
                let at = slow.min(now + bounds.body);
                awaited.alarm.as_mut().reset(at.into());
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(error.into()))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => awaited
                .alarm
                .as_mut()
                .poll(context)
                .map(|()| Some(Err("the body of the request came too slowly".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
