//! Drives one session: moves octets and answers between the socket, the session and the intake.

use std::time::Duration;

use bytes::BytesMut;
use futures_util::FutureExt as _;
use tokio::time::{Instant, sleep_until};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::intake::Reception;
use crate::journal::Journal;
use crate::mail::{SessionEvent, Verdict, refusal_hint};
use crate::session::{Answer, Input, Output, Question, Session};

use super::places::Place;
use super::transport::Transport;

/// What a session needs from its surroundings.
pub(super) struct Surroundings {
    pub(super) acceptor: Option<TlsAcceptor>,
    pub(super) journal: Journal,
    pub(super) clock: Clock,
    pub(super) stop: CancellationToken,
    pub(super) place: Place,
}

/// Runs the session to its end.
pub(super) async fn drive(
    mut transport: Transport,
    mut session: Session,
    mut reception: Reception,
    around: &Surroundings,
) {
    let mut unsent: Vec<u8> = Vec::new();
    let mut buffer = BytesMut::new();
    let mut stopping = false;
    let mut has_mail = false;
    let mut made_room = false;
    // Whether a 250 for a message is on its way to the client.
    let mut unacknowledged = false;
    // Octets to be ready for: a command, or content, which may be a flood.
    let mut ready_for = COMMAND_OCTETS;
    let mut content_follows = false;
    loop {
        match session.poll_output() {
            Output::Transmit(bytes) => {
                unsent.extend_from_slice(&bytes);
                if unsent.len() >= UNSENT_MAX && !flush(&mut transport, &mut unsent).await {
                    return;
                }
            }
            Output::Event(event) => around.journal.session_event(session.facts(), event),
            Output::Refused(reply) => {
                let hint = refusal_hint(&reply);
                around
                    .journal
                    .refused(session.facts(), "command", None, &reply, hint);
            }
            Output::Content(content) => {
                content_follows = true;
                reception.content(content).await;
            }
            Output::Discard => reception.discard(),
            Output::Ask(question) => {
                // What takes a disk or a password hash must not hold back earlier replies.
                if matches!(question, Question::EndOfData(_) | Question::SignIn(_))
                    && !flush(&mut transport, &mut unsent).await
                {
                    // The client is gone, but its complete message is still worth taking.
                    tracing::debug!(session = %session.facts().session, "client left before its reply");
                }
                if matches!(question, Question::EndOfData(_)) {
                    content_follows = false;
                    ready_for = COMMAND_OCTETS;
                    buffer = BytesMut::new();
                }
                if question == Question::BeginData {
                    // What is here already was sent ahead, however the network cut it.
                    buffer.clear();
                    let waiting = transport.read(&mut buffer, ready_for).now_or_never();
                    if let Some(Ok(1..)) = waiting {
                        session.handle_input(Input::Bytes(&buffer), around.clock.now());
                    }
                }
                let opens = matches!(question, Question::Sender(..));
                let signs_in = matches!(question, Question::SignIn(_));
                let gone = async {
                    match signs_in {
                        true => transport.left().await,
                        false => std::future::pending().await,
                    }
                };
                let answer = reception.answer(session.facts(), question, gone).await;
                if opens && matches!(answer, Answer::Verdict(Verdict::Accept)) {
                    has_mail = true;
                    around.place.has_mail();
                }
                unacknowledged = matches!(&answer, Answer::Settled(reply) if reply.is_positive());
                session.handle_input(Input::Answer(answer), around.clock.now());
            }
            Output::StartTls => {
                if !flush(&mut transport, &mut unsent).await {
                    return;
                }
                let Some(acceptor) = &around.acceptor else {
                    return;
                };
                match transport.encrypt(acceptor).await {
                    Ok((encrypted, tls)) => {
                        transport = encrypted;
                        session.handle_input(Input::TlsStarted(tls), around.clock.now());
                    }
                    Err(fault) => {
                        let event = SessionEvent::TlsFailed(fault);
                        around.journal.session_event(session.facts(), event);
                        return;
                    }
                }
            }
            Output::Timeout(at) => {
                if !flush(&mut transport, &mut unsent).await {
                    if unacknowledged {
                        let event = SessionEvent::AcknowledgementLost;
                        around.journal.session_event(session.facts(), event);
                    }
                    session.handle_input(Input::Eof, around.clock.now());
                    continue;
                }
                unacknowledged = false;
                buffer.clear();
                tokio::select! {
                    biased;
                    () = around.place.made_room(), if !has_mail && !made_room => {
                        made_room = true;
                        session.handle_input(Input::MakeRoom, around.clock.now());
                    }
                    read = transport.read(&mut buffer, ready_for) => match read {
                        Ok(length @ 1..) => {
                            if content_follows && length >= ready_for {
                                ready_for = (ready_for * 2).min(CONTENT_OCTETS_MAX);
                            }
                            session.handle_input(Input::Bytes(&buffer), around.clock.now());
                        }
                        Ok(0) | Err(_) => session.handle_input(Input::Eof, around.clock.now()),
                    },
                    () = around.stop.cancelled(), if !stopping => {
                        stopping = true;
                        session.handle_input(Input::Shutdown, around.clock.now());
                    }
                    () = sleep_until(Instant::from_std(at)) => {
                        session.handle_input(Input::Timeout, around.clock.now());
                    }
                }
            }
            Output::Close if made_room => {
                // The place is somebody else's already: no time for manners.
                drop(transport.write(&unsent).now_or_never());
                return;
            }
            Output::Close => {
                flush(&mut transport, &mut unsent).await;
                return transport.close().await;
            }
        }
    }
}

/// Sends what is waiting; `false` when the client can't be reached any more.
async fn flush(transport: &mut Transport, unsent: &mut Vec<u8>) -> bool {
    if unsent.is_empty() {
        return true;
    }
    let sent = transport.write(unsent).await.is_ok();
    unsent.clear();
    sent
}

/// How long an implicit-TLS port waits for the first octet (device-quirks 2.4).
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(8);

const COMMAND_OCTETS: usize = 4 * 1024;
const CONTENT_OCTETS_MAX: usize = 64 * 1024;
const UNSENT_MAX: usize = 64 * 1024;
