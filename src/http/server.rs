//! Serves a router until it is told to stop.
//!
//! A door that nobody guards must not be one that anybody can block: connections are bounded, and so is the time that
//! a head, a body and a silence may take. [`Bounds`] says how.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep_until, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;

use super::body::Coming;
use super::browsers::protect;
use super::cut::Cut;
use super::encrypted::{ServerCertificate, ServerCertificateError};
use super::line::Line;
use super::places::{Bounds, Place, Places, Wait};

/// The server can't start.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address can't be listened on.
    #[error("cannot listen on {address}")]
    Address {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// A file that the server needs.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate.
    #[error("cannot serve HTTPS")]
    Certificate(#[from] ServerCertificateError),
}

/// Binds, then serves in the background, over HTTPS where there is a certificate; returns the bound address. Every
/// handler may cut its connection: it extracts `ConnectInfo<Cut>`.
///
/// # Errors
/// When the address can't be bound, or the certificate can't be used.
pub async fn serve(
    address: SocketAddr,
    certificate: Option<&ServerCertificate>,
    router: Router,
    bounds: Bounds,
    stop: CancellationToken,
) -> Result<SocketAddr, ServerError> {
    let acceptor = certificate.map(ServerCertificate::load).transpose()?;
    let failed = |source| ServerError::Address { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let door = Door {
        acceptor,
        router,
        bounds,
        clock: Clock,
        stop,
    };
    tokio::spawn(door.accept(listener));
    Ok(bound)
}

#[derive(Clone)]
struct Door {
    acceptor: Option<TlsAcceptor>,
    router: Router,
    bounds: Bounds,
    clock: Clock,
    stop: CancellationToken,
}

impl Door {
    async fn accept(self, listener: TcpListener) {
        let places = Arc::new(Places::new(self.bounds, self.clock));
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => match places.admit() {
                    Some(place) => drop(tokio::spawn(self.clone().receive(stream, peer, place))),
                    None => tracing::warn!(%peer, "http connection turned away, all are busy"),
                },
                Err(error) => {
                    tracing::error!(%error, "cannot accept an http connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn receive(self, stream: TcpStream, peer: SocketAddr, place: Place) {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let (wait, over) = (Arc::clone(&place.wait), place.wait.over.clone());
        let (acceptor, head) = (self.acceptor.clone(), self.bounds.head);
        let talk = async move {
            let Some(acceptor) = acceptor else {
                return self.talk(stream, false, wait).await;
            };
            match timeout(head, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
                    self.talk(stream, http2, wait).await;
                }
                Ok(Err(error)) => tracing::debug!(%peer, %error, "handshake failed"),
                Err(_) => tracing::debug!(%peer, "handshake took too long"),
            }
        };
        tokio::select! {
            () = talk => {}
            () = over.cancelled() => tracing::debug!(%peer, "made room for another connection"),
        }
        drop(place);
    }

    async fn talk<S>(self, stream: S, http2: bool, wait: Arc<Wait>)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let Self {
            router,
            bounds,
            clock,
            stop,
            ..
        } = self;
        // The kind is known: to find it out would be a wait without end.
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .max_buf_size(HEAD_OCTETS_MAX)
            // It would count idle time, too.
            .header_read_timeout(None::<Duration>);
        let builder = if http2 {
            wait.speaks_http2();
            builder.http2_only()
        } else {
            builder.http1_only()
        };
        let cut = Cut::default();
        let line = Line {
            stream,
            cut: cut.clone(),
            wait: Arc::clone(&wait),
        };
        let (router, asking) = (TowerToHyperService::new(router), Arc::clone(&wait));
        let service = service_fn(move |request: Request<Incoming>| {
            let asked = asking.asked();
            let mut request = request.map(|body| Body::new(Coming::new(body, bounds, clock)));
            request.extensions_mut().insert(ConnectInfo(cut.clone()));
            let answered = router.call(request);
            async move {
                let mut answered = answered.await;
                if let Ok(answer) = &mut answered {
                    protect(answer.headers_mut());
                }
                drop(asked);
                answered
            }
        });
        let mut talk = pin!(builder.serve_connection(TokioIo::new(line), service));
        tokio::select! {
            () = within(talk.as_mut(), &wait) => return,
            () = stop.cancelled() => talk.as_mut().graceful_shutdown(),
        }
        // A client that keeps its connection open must not keep the process.
        drop(timeout(LINGER, talk).await);
    }
}

/// Goes on until it is over, or something did not come in time.
async fn within<T: Future>(mut talk: Pin<&mut T>, wait: &Wait) {
    let mut alarm = pin!(sleep_until(wait.deadline().into()));
    poll_fn(|context| {
        if talk.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        // What was just read or answered may have changed what is waited for.
        alarm.as_mut().reset(wait.deadline().into());
        alarm.as_mut().poll(context)
    })
    .await;
}

const LINGER: Duration = Duration::from_secs(2);
const ACCEPT_RETRY: Duration = Duration::from_millis(100);
const HEAD_OCTETS_MAX: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use axum::routing::{get, post};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
    use tokio_util::sync::DropGuard;

    use super::*;

    const QUICK: Bounds = Bounds {
        connections: 3,
        head: Duration::from_millis(200),
        body: Duration::from_millis(200),
        body_octets: 100_000,
        body_rate: 1000,
        idle: Duration::from_secs(2),
    };

    fn router() -> Router {
        Router::new()
            .route(
                "/",
                get(|| async { "here" }).post(|body: String| async move { body }),
            )
            .route(
                "/slow",
                post(|| async {
                    tokio::time::sleep(QUICK.idle + QUICK.head).await;
                    "done"
                }),
            )
    }

    async fn door() -> (SocketAddr, DropGuard) {
        let stop = CancellationToken::new();
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let bound = serve(any, None, router(), QUICK, stop.clone())
            .await
            .expect("a door");
        (bound, stop.drop_guard())
    }

    async fn connect(address: SocketAddr) -> TcpStream {
        TcpStream::connect(address).await.expect("a connection")
    }

    /// What comes next; empty where the connection was closed.
    async fn next(stream: &mut TcpStream) -> String {
        let mut octets = vec![0; 4096];
        let read = timeout(Duration::from_secs(10), stream.read(&mut octets)).await;
        let length = read.expect("something within 10 s").unwrap_or(0);
        String::from_utf8_lossy(&octets[..length]).into_owned()
    }

    async fn say(stream: &mut TcpStream, text: &str) {
        stream.write_all(text.as_bytes()).await.expect("written");
    }

    const GET: &str = "GET / HTTP/1.1\r\nhost: x\r\n\r\n";

    #[tokio::test]
    async fn silence_a_slow_head_a_slow_body_and_idling_all_end() {
        let (address, _stop) = door().await;
        let mut silent = connect(address).await;
        assert_eq!(next(&mut silent).await, "");

        let mut slow = connect(address).await;
        say(&mut slow, GET).await;
        assert!(next(&mut slow).await.contains("here"));
        // It is idle longer than a head may take, and still there.
        tokio::time::sleep(QUICK.head * 2).await;
        say(&mut slow, "GET / HT").await;
        let began = Clock.now();
        assert_eq!(next(&mut slow).await, "");
        assert!(
            Clock.now() - began < QUICK.head * 5,
            "the head's time, not what is left of the idle one"
        );

        let mut body = connect(address).await;
        say(
            &mut body,
            "POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n1",
        )
        .await;
        assert!(next(&mut body).await.starts_with("HTTP/1.1 400"));
        assert_eq!(next(&mut body).await, "");

        let mut idle = connect(address).await;
        say(&mut idle, GET).await;
        assert!(next(&mut idle).await.contains("here"));
        assert_eq!(next(&mut idle).await, "");
    }

    #[tokio::test]
    async fn an_answer_may_take_its_time() {
        let (address, _stop) = door().await;
        let mut client = connect(address).await;
        say(
            &mut client,
            "POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        assert!(next(&mut client).await.contains("done"));
    }

    #[tokio::test]
    async fn the_longest_silent_makes_room_and_whoever_is_being_answered_does_not() {
        let (address, _stop) = door().await;
        let mut busy = connect(address).await;
        say(
            &mut busy,
            "POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n",
        )
        .await;
        let mut silent = Vec::new();
        for _ in 0..50 {
            silent.push(connect(address).await);
            let mut asking = connect(address).await;
            say(&mut asking, GET).await;
            assert!(next(&mut asking).await.contains("here"));
        }
        assert_eq!(next(&mut silent[0]).await, "");
        assert!(next(&mut busy).await.contains("done"));
    }

    /// A client without a socket, whose time can be paused.
    fn talk(bounds: Bounds) -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 * 1024);
        let door = Door {
            acceptor: None,
            router: router(),
            bounds,
            clock: Clock,
            stop: CancellationToken::new(),
        };
        let wait = Arc::new(Wait::new(bounds, Clock));
        tokio::spawn(door.talk(server, false, wait));
        client
    }

    fn head_of_post(octets: usize) -> String {
        format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {octets}\r\n\r\n")
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_has_so_long_for_the_first_head_and_for_a_body() {
        let (head, body) = (Bounds::DEFAULT.head, Bounds::DEFAULT.body);
        let (post, pause) = (head_of_post(100), Duration::from_secs(9));
        for (pieces, takes, answer) in [
            (vec![], head, ""),
            (vec!["GET"; 9], head, ""),
            (vec![&*post], body, "HTTP/1.1 400"),
            ([vec![&*post], vec!["1"; 99]].concat(), body, "HTTP/1.1 400"),
        ] {
            let (mut answers, mut questions) = tokio::io::split(talk(Bounds::DEFAULT));
            let began = Clock.now();
            let asking = async {
                for piece in &pieces {
                    if questions.write_all(piece.as_bytes()).await.is_err() {
                        return;
                    }
                    tokio::time::sleep(pause).await;
                }
                std::future::pending().await
            };
            let mut answered = String::new();
            tokio::select! {
                _ = answers.read_to_string(&mut answered) => {}
                () = asking => {}
            }
            let took = Clock.now() - began;
            let first = pieces.first();
            assert!(answered.starts_with(answer), "{first:?}: {answered:?}");
            assert_eq!(took.as_secs(), takes.as_secs(), "{first:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_a_size_that_it_may_have() {
        let bounds = Bounds {
            body_octets: 1000,
            ..Bounds::DEFAULT
        };
        for (octets, answer) in [(1000, "HTTP/1.1 200"), (1001, "HTTP/1.1 400")] {
            let mut client = talk(bounds);
            let request = head_of_post(octets) + &"x".repeat(octets);
            client.write_all(request.as_bytes()).await.expect("written");
            let mut answered = vec![0; 12];
            client.read_exact(&mut answered).await.expect("an answer");
            assert_eq!(answered, answer.as_bytes(), "{octets}");
        }
    }
}
