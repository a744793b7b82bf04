//! Accepts connections within limits and starts a session for each.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ipnet::IpNet;
use rustls::ServerConfig;
use socket2::{Domain, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::intake::{Intake, Reception};
use crate::journal::Journal;
use crate::mail::{Opening, Reply, SessionEvent, SessionFacts, SessionId};
use crate::session::{Session, Settings};

use super::certificate::Certificate;
use super::driver::{SILENCE_MAX, Surroundings, drive};
use super::places::{Place, Places};
use super::transport::Transport;

/// How one listener behaves.
#[derive(Debug)]
pub struct ListenerSettings {
    /// Its name in the configuration.
    pub name: Arc<str>,
    /// When TLS starts.
    pub tls: TlsMode,
    /// Networks that may sign in without TLS.
    pub clear_auth: Vec<IpNet>,
    /// Connections in all.
    pub connections_max: usize,
    /// Connections from one address.
    pub connections_per_address_max: usize,
    /// What its sessions are set up with; `auth_in_clear` is set per client.
    pub session: Settings,
}

/// When TLS starts.
#[derive(Clone, Debug)]
pub enum TlsMode {
    /// Never.
    None,
    /// When the client asks for it.
    StartTls(Arc<Certificate>),
    /// With the first octet.
    Implicit(Arc<Certificate>),
}

/// The address can't be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listener {name} cannot listen on {address}")]
pub struct ListenError {
    name: Arc<str>,
    address: SocketAddr,
    source: std::io::Error,
}

/// A bound listener.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    shared: Arc<Shared>,
}

struct Shared {
    settings: ListenerSettings,
    /// By whether AUTH is offered, and possible in clear.
    session_settings: [[Arc<Settings>; 2]; 2],
    intake: Arc<Intake>,
    acceptor: Option<TlsAcceptor>,
    journal: Journal,
    clock: Clock,
    places: Arc<Places>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Listener {
    /// Binds all addresses.
    ///
    /// # Errors
    /// When one of them can't be bound.
    pub fn bind(
        addresses: &[SocketAddr],
        mut settings: ListenerSettings,
        intake: Arc<Intake>,
        journal: Journal,
        clock: Clock,
    ) -> Result<Self, ListenError> {
        let mut sockets = Vec::new();
        for address in addresses {
            let socket = bind(*address, addresses).map_err(|source| ListenError {
                name: Arc::clone(&settings.name),
                address: *address,
                source,
            })?;
            sockets.push(socket);
        }
        settings.session.starttls = matches!(settings.tls, TlsMode::StartTls(_));
        let variant = |auth_offered, auth_in_clear| {
            Arc::new(Settings {
                auth_offered,
                auth_in_clear,
                ..settings.session.clone()
            })
        };
        let session_settings =
            [false, true].map(|offered| [false, true].map(|in_clear| variant(offered, in_clear)));
        let acceptor = match &settings.tls {
            TlsMode::None => None,
            TlsMode::StartTls(certificate) | TlsMode::Implicit(certificate) => {
                Some(acceptor(Arc::clone(certificate)))
            }
        };
        let places = Places::new(
            settings.connections_max,
            settings.connections_per_address_max,
        );
        Ok(Self {
            sockets,
            shared: Arc::new(Shared {
                settings,
                session_settings,
                intake,
                acceptor,
                journal,
                clock,
                places: Arc::new(places),
            }),
        })
    }

    /// The addresses that were bound.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sockets
            .iter()
            .filter_map(|socket| socket.local_addr().ok())
            .collect()
    }

    /// Accepts until `stop`; sessions are tracked by `tracker`.
    pub fn start(self, tracker: &TaskTracker, stop: &CancellationToken) {
        for socket in self.sockets {
            let shared = Arc::clone(&self.shared);
            let (sessions, stop) = (tracker.clone(), stop.clone());
            tracker.spawn(accept(socket, shared, sessions, stop));
        }
    }
}

/// Whether an address could be listened on now, beside all others of its listener. Nobody can connect meanwhile.
///
/// # Errors
/// Why not.
pub fn try_bind(address: SocketAddr, all: &[SocketAddr]) -> std::io::Result<()> {
    bound(address, all).map(drop)
}

fn bind(address: SocketAddr, all: &[SocketAddr]) -> std::io::Result<TcpListener> {
    let socket = bound(address, all)?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// An IPv6 wildcard takes IPv4 too, unless the same port is asked for in IPv4 beside it.
fn bound(address: SocketAddr, all: &[SocketAddr]) -> std::io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        let beside = |other: &SocketAddr| other.is_ipv4() && other.port() == address.port();
        socket.set_only_v6(all.iter().any(beside))?;
    }
    // A restart must not wait for the last connections to time out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Replies are small and awaited; what is accepted inherits it.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

async fn accept(
    socket: TcpListener,
    shared: Arc<Shared>,
    sessions: TaskTracker,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = socket.accept() => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, most likely: give sessions time to end.
                tracing::error!(listener = %shared.settings.name, %error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
                continue;
            }
        };
        let address = peer.ip().to_canonical();
        let named = shared.intake.names(&shared.settings.name, address);
        match shared.places.admit(address, named) {
            Ok(place) => {
                sessions.spawn(run(stream, peer, Arc::clone(&shared), place, stop.clone()));
            }
            Err(reply) => turn_away(&stream, &shared, peer.ip(), &reply),
        }
    }
}

fn turn_away(stream: &TcpStream, shared: &Shared, peer: IpAddr, reply: &Reply) {
    shared
        .journal
        .turned_away(&shared.settings.name, peer, reply);
    if matches!(shared.settings.tls, TlsMode::Implicit(_)) {
        // Text in clear would be noise to a client that expects TLS.
        return;
    }
    let mut line = Vec::new();
    reply.write_to(&mut line);
    // A full send buffer on a new connection does not happen; if it does, the close says enough.
    drop(stream.try_write(&line));
}

async fn run(
    stream: TcpStream,
    peer: SocketAddr,
    shared: Arc<Shared>,
    place: Place,
    stop: CancellationToken,
) {
    let id = SessionId(NEXT_SESSION.fetch_add(1, Ordering::Relaxed));
    let mut facts = SessionFacts::new(id, Arc::clone(&shared.settings.name), peer);
    shared.journal.session_opened(&facts);
    let opened = facts.clone();
    let started = tokio::select! {
        started = encrypted_from_start(Transport::Clear(stream), &shared, &mut facts) => started,
        () = place.made_room() => Err(SessionEvent::MadeRoom),
    };
    let transport = match started {
        Ok(transport) => transport,
        Err(event) => {
            shared.journal.session_event(&facts, event);
            shared.journal.session_closed(&opened);
            return;
        }
    };
    let clear_auth = &shared.settings.clear_auth;
    let address = facts.address();
    // Passwords of the provider's users are not taken in clear, but from this machine.
    let in_clear = (address.is_loopback() || shared.intake.has_devices())
        && clear_auth.iter().any(|network| network.contains(&address));
    // Users may come and go while the listener stands.
    let offered = shared.intake.has_users();
    let settings = &shared.session_settings[usize::from(offered)][usize::from(in_clear)];
    let settings = Arc::clone(settings);
    let session = Session::new(settings, facts, shared.clock.now());
    let reception = Reception::new(Arc::clone(&shared.intake));
    let around = Surroundings {
        acceptor: shared.acceptor.clone(),
        journal: shared.journal,
        clock: shared.clock,
        stop,
        place,
    };
    drive(transport, session, reception, &around).await;
    shared.journal.session_closed(&opened);
}

/// The handshake of an implicit-TLS listener; others pass.
async fn encrypted_from_start(
    transport: Transport,
    shared: &Shared,
    facts: &mut SessionFacts,
) -> Result<Transport, SessionEvent> {
    let (TlsMode::Implicit(_), Some(acceptor)) = (&shared.settings.tls, &shared.acceptor) else {
        return Ok(transport);
    };
    let event = match transport.opening(SILENCE_MAX).await {
        Ok(Opening::Tls | Opening::OldTls) => None,
        Ok(Opening::Sslv2) => Some(SessionEvent::Sslv2Hello),
        Ok(Opening::Proxy) => Some(SessionEvent::SpeaksProxy),
        Ok(Opening::Text) => Some(SessionEvent::PlainOnTlsPort),
        Err(_) => Some(SessionEvent::SilentOnTlsPort),
    };
    if let Some(event) = event {
        return Err(event);
    }
    let (encrypted, tls) = transport
        .encrypt(acceptor)
        .await
        .map_err(SessionEvent::TlsFailed)?;
    facts.tls = Some(tls);
    Ok(encrypted)
}

fn acceptor(certificate: Arc<Certificate>) -> TlsAcceptor {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .expect("the provider supports the versions it is built with")
        .with_no_client_auth()
        .with_cert_resolver(certificate);
    TlsAcceptor::from(Arc::new(config))
}

static NEXT_SESSION: AtomicU64 = AtomicU64::new(1);

/// Connections that may wait to be accepted; the kernel cuts it to its own limit.
const BACKLOG: i32 = 4096;

const ACCEPT_RETRY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use std::path::Path;

    use arc_swap::ArcSwap;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    use super::*;
    use crate::auth::{Authenticator, User, Verifier, hash_password};
    use crate::config::Secret;
    use crate::intake::IntakeSettings;
    use crate::mail::{Hidden, Mismatch, ReceivedDetail};
    use crate::message::{LoopLimits, PlanSettings};
    use crate::rules::{
        AccountRules, Confirmed, ListenerRule, Rules, Section, Standing, UserRule, Users,
    };
    use crate::session::{Leniency, Limits};
    use crate::spool::{MemoryStore, SpaceLimits, Spool, SpoolSettings};

    /// Of an account with a user, and a device.
    fn intake(directory: &Path, device: Option<User>) -> Intake {
        let mut users = Users::default();
        users.insert(UserRule {
            name: "printer1".into(),
            standing: Standing::Allowed,
            limit: None,
            password: hash_password("right-1"),
        });
        let account = AccountRules {
            users: Section::known(Arc::new(users), Confirmed::default()),
            ..AccountRules::default()
        };
        let listener = ListenerRule {
            account: "default".into(),
            trust: Vec::new(),
            require_tls: false,
        };
        let mut rules = Rules::default();
        rules.accounts.insert("default".into(), Arc::new(account));
        rules.listeners.insert("lan".into(), listener);
        let store = Box::new(MemoryStore::default());
        let authenticator = Authenticator::new(device).expect("users");
        Intake::new(
            Spool::start(store, SpoolSettings::default(), Clock).expect("a spool"),
            tokio::sync::watch::channel(Arc::new(rules)).1,
            Arc::new(ArcSwap::from_pointee(authenticator)),
            tokio::sync::mpsc::channel(1).0,
            (Journal, Clock),
            IntakeSettings {
                hostname: "relay.test".to_owned(),
                plan: PlanSettings {
                    mismatch: Mismatch::Rewrite,
                    hidden: Hidden::Separate,
                },
                received: ReceivedDetail::Full,
                loops: LoopLimits {
                    received_max: 50,
                    passes_max: 5,
                },
                head_octets_max: 1000,
                space: SpaceLimits {
                    spool_octets_max: u64::MAX,
                    account_octets_max: Default::default(),
                    lane_octets_max: u64::MAX,
                    free_octets_min: 0,
                    directory: directory.to_owned(),
                },
            },
        )
    }

    /// The reply to EHLO of a client of this address.
    async fn greeted(peer: &str, device: Option<User>) -> String {
        let directory = tempfile::tempdir().expect("a directory");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let networks = ["127.0.0.0/8", "10.0.0.0/8"];
        let settings = ListenerSettings {
            name: "lan".into(),
            tls: TlsMode::None,
            clear_auth: networks.map(|network| network.parse().expect("one")).into(),
            connections_max: 10,
            connections_per_address_max: 10,
            session: Settings {
                hostname: "relay.test".to_owned(),
                starttls: false,
                auth_offered: false,
                auth_in_clear: false,
                leniency: Leniency::DEVICE,
                limits: Limits::default(),
            },
        };
        let intake = Arc::new(intake(directory.path(), device));
        let listener =
            Listener::bind(&[any], settings, intake, Journal, Clock).expect("a listener");
        let client = TcpStream::connect(listener.addresses()[0]);
        let (client, accepted) = tokio::join!(client, listener.sockets[0].accept());
        let (mut client, shared) = (BufReader::new(client.expect("a client")), listener.shared);
        let peer: SocketAddr = peer.parse().expect("an address");
        let place = shared.places.admit(peer.ip(), false).expect("a place");
        let stream = accepted.expect("a connection").0;
        tokio::spawn(run(stream, peer, shared, place, CancellationToken::new()));
        client.write_all(b"EHLO test\r\n").await.expect("written");
        let mut text = String::new();
        while !text.contains("250 ") {
            let read = client.read_line(&mut text).await.expect("a line");
            assert!(read > 0, "{text}");
        }
        text
    }

    #[tokio::test]
    async fn passwords_are_asked_for_in_clear_on_this_machine_and_where_devices_have_them() {
        let device = || User {
            device: "cam".into(),
            username: "camera1".to_owned(),
            verifier: Verifier::Password(Secret::new("right-2".to_owned())),
        };
        for (peer, device, offered) in [
            ("127.0.0.1:4711", None, true),
            ("10.0.5.17:4711", None, false),
            ("10.0.5.17:4711", Some(device()), true),
            ("192.0.2.17:4711", Some(device()), false),
        ] {
            let text = greeted(peer, device).await;
            assert_eq!(text.contains("AUTH"), offered, "{peer}: {text}");
        }
    }
}
