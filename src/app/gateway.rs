//! One running gateway, from a checked configuration to an orderly stop.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admin::{Admin, AdminParts};
use crate::auth::{Authenticator, UserError};
use crate::clock::Clock;
use crate::config::Config;
use crate::forward::{Forwarder, KeyHandle};
use crate::http::{ClientError, ServerError};
use crate::intake::Intake;
use crate::journal::Journal;
use crate::listen::{CertificateError, ListenError, Listener};
use crate::policy::Revalidation;
use crate::spool::{Spool, SpoolError, SqliteStore, volatile_storage};
use crate::sync::{Publisher, SyncHandle, Synchroniser};
use crate::telemetry;

use super::surroundings::{Others, other_writers};
use super::{parts, surroundings};

/// See the module's documentation.
#[derive(Debug)]
pub struct Gateway {
    smtp: BTreeMap<String, Vec<SocketAddr>>,
    admin: SocketAddr,
    spool: Spool,
    config: Config,
    rules: Publisher,
    authenticator: Arc<ArcSwap<Authenticator>>,
    synchronisers: Vec<SyncHandle>,
    accounts: BTreeMap<String, KeyHandle>,
    accepting: Arc<AtomicBool>,
    sessions: TaskTracker,
    forwarders: TaskTracker,
    stop_accepting: CancellationToken,
    stop_forwarding: CancellationToken,
    stop_admin: CancellationToken,
}

/// The gateway can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data directory.
    #[error("cannot use the data directory {}", path.display())]
    DataDir {
        /// `data_dir`
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The data directory does not survive a restart.
    #[error("the data directory {} lies in {storage}", path.display())]
    Volatile {
        /// `data_dir`
        path: PathBuf,
        /// What it lies in.
        storage: &'static str,
    },
    /// Everybody on this machine may write to the data directory.
    #[error("the data directory {} may be written by everybody", path.display())]
    Exposed {
        /// `data_dir`
        path: PathBuf,
    },
    /// The spool.
    #[error("cannot open the spool {}", path.display())]
    Spool {
        /// The database.
        path: PathBuf,
        /// Why.
        source: SpoolError,
    },
    /// A certificate.
    #[error("cannot set up TLS")]
    Certificate(#[from] CertificateError),
    /// A reload would give mail to an account that nobody forwards.
    #[error("account {0} is new and needs a restart: nobody would forward its mail")]
    NotRunning(String),
    /// The users of devices.
    #[error("cannot set up sign-in")]
    Users(#[from] UserError),
    /// The way to the provider.
    #[error("cannot set up the way to the provider")]
    Client(#[from] ClientError),
    /// An SMTP address.
    #[error("cannot listen for SMTP")]
    Listen(#[from] ListenError),
    /// The admin address.
    #[error("cannot listen for admin")]
    Admin(#[from] ServerError),
}

impl StartError {
    /// What to do about it; empty where the error says it all.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::DataDir { .. } => {
                "set data_dir to a directory that this user can write (S2G__DATA_DIR)"
            }
            Self::Volatile { .. } => {
                "mount a volume there, or set data_dir to a disk; spool.require_persistent_spool = false \
                 makes it a warning"
            }
            Self::Exposed { .. } => {
                "take that right away (chmod o-w), or set data_dir to a new directory inside it"
            }
            Self::Spool { source, .. } => match source {
                SpoolError::Foreign | SpoolError::Damaged(_) => {
                    "the files were left as they are: copy them first, then move spool.db, spool.db-wal, \
                     spool.db-journal and spool.db-open \
                     away together to start with an empty spool, or restore a backup"
                }
                SpoolError::Unreadable(_) | SpoolError::Corrupt(_) => {
                    "the disk or its file system fails (see the kernel's log): the mail in spool.db may be whole, so \
                     don't move it away; copy it to another disk"
                }
                SpoolError::Newer { .. } => "it was written by a newer release: use that one",
                SpoolError::LogMissing => {
                    "put spool.db-wal back beside spool.db, or remove spool.db-open to go on without the mail \
                     that was in it"
                }
                SpoolError::InUse => "another gateway runs on the same data_dir: stop it first",
                _ => "check the disk and the owner of the data directory",
            },
            Self::Certificate(_) => {
                "check cert_file and key_file, and that this user can read them"
            }
            Self::Client(_) => "check forward.ca_file, and that ca-certificates is installed",
            Self::Listen(_) => {
                "is another program on that port? Ports below 1024 need root or CAP_NET_BIND_SERVICE"
            }
            Self::Admin(_) => "choose another admin.bind",
            Self::Users(_) | Self::NotRunning(_) => "",
        }
    }
}

impl Gateway {
    /// Opens, binds and starts everything. When this returns, mail is accepted.
    ///
    /// # Errors
    /// When something can't be opened or bound; nothing runs then.
    pub async fn start(config: &Config) -> Result<Self, StartError> {
        let clock = Clock;
        let journal = Journal;
        telemetry::metrics();
        let connections = parts::connections(config, surroundings::raise_open_files());
        let spool = open_spool(config, clock)?;
        report_unknown_accounts(&spool, config, journal).await;
        let rules = Publisher::new(parts::rules(config));
        let (revalidations, wanted) = mpsc::channel(REVALIDATIONS_MAX);
        let authenticator = Authenticator::new(parts::users(config))?;
        let authenticator = Arc::new(ArcSwap::from_pointee(authenticator));
        let intake = Arc::new(Intake::new(
            spool.clone(),
            rules.subscribe(),
            Arc::clone(&authenticator),
            revalidations,
            (journal, clock),
            parts::intake(config),
        ));
        let mut providers = Vec::new();
        for (name, account) in &config.accounts {
            providers.push((name.clone(), parts::provider(config, account)?));
        }
        // Yesterday's rules are in force before the first client is let in.
        let mut synchronisers = Vec::new();
        for (name, provider) in providers.iter().filter(|_| config.sync.enabled) {
            let settings = parts::sync(config);
            let synchroniser = Synchroniser::load(
                name,
                provider.clone(),
                spool.clone(),
                rules.clone(),
                (journal, clock),
                settings,
            );
            synchronisers.push(synchroniser.await);
        }
        let handles: Vec<SyncHandle> = synchronisers.iter().map(Synchroniser::handle).collect();
        let mut listeners = Vec::new();
        for (name, listener) in &config.listeners {
            let most = connections
                .get(name)
                .copied()
                .unwrap_or(listener.max_connections);
            let settings = parts::listener(config, name, listener, most, clock)?;
            let intake = Arc::clone(&intake);
            let bound = Listener::bind(&listener.bind, settings, intake, journal, clock)?;
            listeners.push((name.clone(), bound));
        }
        let accepting = Arc::new(AtomicBool::new(false));
        let stop_admin = CancellationToken::new();
        let admin = Admin::new(AdminParts {
            spool: spool.clone(),
            space: intake.space().clone(),
            clock,
            hostname: config.hostname.clone(),
            token: config.admin.token.clone(),
            accepting: Arc::clone(&accepting),
            rules: rules.clone(),
            synchronisers: handles.clone(),
            authenticator: Arc::clone(&authenticator),
        })
        .start(config.admin.bind, stop_admin.clone())
        .await?;

        let mut gateway = Self {
            smtp: BTreeMap::new(),
            admin,
            spool: spool.clone(),
            config: config.clone(),
            rules,
            authenticator,
            synchronisers: handles.clone(),
            accounts: BTreeMap::new(),
            accepting,
            sessions: TaskTracker::new(),
            forwarders: TaskTracker::new(),
            stop_accepting: CancellationToken::new(),
            stop_forwarding: CancellationToken::new(),
            stop_admin,
        };
        for (name, provider) in providers {
            let settings = parts::forward(&config.forward, &name, FORWARD_DRAIN_MAX);
            let limits = gateway.rules.subscribe();
            let forwarder =
                Forwarder::new(spool.clone(), provider, journal, clock, limits, settings);
            gateway.accounts.insert(name, forwarder.keyed());
            let stop = gateway.stop_forwarding.clone();
            gateway.forwarders.spawn(forwarder.run(stop));
        }
        for synchroniser in synchronisers {
            let stop = gateway.stop_forwarding.clone();
            gateway.forwarders.spawn(synchroniser.run(stop));
        }
        let stop = gateway.stop_forwarding.clone();
        gateway
            .forwarders
            .spawn(route_revalidations(wanted, handles, stop));
        for (name, listener) in listeners {
            gateway.smtp.insert(name, listener.addresses());
            listener.start(&gateway.sessions, &gateway.stop_accepting);
        }
        let stop = gateway.stop_forwarding.clone();
        gateway
            .forwarders
            .spawn(forget_settled(spool.clone(), config.spool.retention, stop));
        let stop = gateway.stop_forwarding.clone();
        gateway.forwarders.spawn(tidy(spool, stop));
        gateway.accepting.store(true, Ordering::Release);
        for (listener, addresses) in &gateway.smtp {
            for address in addresses {
                tracing::info!(listener, %address, "listening for smtp");
            }
        }
        tracing::info!(%admin, version = env!("CARGO_PKG_VERSION"), "gateway ready");
        Ok(gateway)
    }

    /// The bound SMTP addresses by listener.
    pub fn smtp(&self) -> &BTreeMap<String, Vec<SocketAddr>> {
        &self.smtp
    }

    /// The bound admin address.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// The spool.
    pub fn spool(&self) -> &Spool {
        &self.spool
    }

    /// Takes over what may change while running: devices with their users, the trust and account of
    /// listeners, and the keys of accounts. A transaction under way keeps the rules it began with. Returns
    /// the keys that differ, too, and take effect only after a restart.
    ///
    /// # Errors
    /// When the users can't be set up; nothing has changed then.
    pub fn reload(&mut self, config: &Config) -> Result<Vec<String>, StartError> {
        let authenticator = Authenticator::new(parts::users(config))?;
        let rules = parts::rules(config);
        for account in rules.forwarding_accounts() {
            if !self.accounts.contains_key(account) {
                return Err(StartError::NotRunning(account.to_owned()));
            }
        }
        self.authenticator.store(Arc::new(authenticator));
        self.rules.configure(rules);
        for (name, account) in &config.accounts {
            let old = self.config.accounts.get(name);
            // A new key is for the new address, which needs a restart: the old one must not see it.
            let same_place = old.is_some_and(|old| old.api_url == account.api_url);
            if let (Some(keyed), true) = (self.accounts.get(name), same_place) {
                keyed.change_key(account.api_key.clone());
            }
        }
        for synchroniser in &self.synchronisers {
            // Nothing happens where the key is the one it was.
            synchroniser.key_may_have_changed();
        }
        Ok(parts::need_restart(&self.config, config))
    }

    /// Accepts no more, lets messages and attempts under way finish within their deadlines.
    pub async fn stop(self) {
        tracing::info!("stopping");
        self.accepting.store(false, Ordering::Release);
        self.stop_accepting.cancel();
        self.sessions.close();
        if tokio::time::timeout(SESSION_DRAIN_MAX, self.sessions.wait())
            .await
            .is_err()
        {
            let left = self.sessions.len();
            tracing::warn!(left, "sessions cut off by the stop");
        }
        self.stop_forwarding.cancel();
        self.forwarders.close();
        self.forwarders.wait().await;
        self.stop_admin.cancel();
        self.spool.close().await;
        tracing::info!("stopped");
    }
}

/// A rule that refused something is looked at by whoever keeps its account's rules fresh.
async fn route_revalidations(
    mut revalidations: mpsc::Receiver<Revalidation>,
    synchronisers: Vec<SyncHandle>,
    stop: CancellationToken,
) {
    while let Some(Some(wanted)) = stop.run_until_cancelled(revalidations.recv()).await {
        let of_account = |handle: &&SyncHandle| handle.account() == &*wanted.account;
        if let Some(synchroniser) = synchronisers.iter().find(of_account) {
            synchroniser.revalidate(wanted);
        }
    }
}

fn open_spool(config: &Config, clock: Clock) -> Result<Spool, StartError> {
    let failed = |source| StartError::DataDir {
        path: config.data_dir.clone(),
        source,
    };
    make_private(&config.data_dir).map_err(failed)?;
    match other_writers(&config.data_dir).map_err(failed)? {
        Others::Nobody => {}
        Others::Some => {
            let data_dir = config.data_dir.display();
            let hint = "give it to this user alone: chown and chmod 700";
            tracing::warn!(%data_dir, hint, "others may write to the data directory");
        }
        Others::Everybody => {
            let path = config.data_dir.clone();
            return Err(StartError::Exposed { path });
        }
    }
    if let Some(storage) = volatile_storage(&config.data_dir) {
        if config.spool.require_persistent {
            return Err(StartError::Volatile {
                path: config.data_dir.clone(),
                storage,
            });
        }
        let data_dir = config.data_dir.display();
        let hint = "mount a volume there, or set data_dir to a disk";
        tracing::warn!(%data_dir, storage, hint, "accepted mail would not survive a restart");
    }
    let path = config.data_dir.join("spool.db");
    let failed = |source| StartError::Spool {
        path: path.clone(),
        source,
    };
    let store = SqliteStore::open(&path).map_err(failed)?;
    // The store is closed by then, so that its files may be read.
    Spool::start(Box::new(store), parts::spool(config), clock)
        .map_err(|error| failed(SqliteStore::explain_closed(&path, error)))
}

async fn report_unknown_accounts(spool: &Spool, config: &Config, journal: Journal) {
    let open = spool.open_accounts().await.unwrap_or_else(|error| {
        journal.spool_failed("looking for unknown accounts", &error);
        Vec::new()
    });
    for (account, dispatches) in open {
        if !config.accounts.contains_key(&account) {
            journal.account_unknown(&account, dispatches);
        }
    }
}

/// The spool holds other people's mail.
fn make_private(directory: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
}

/// Deletes old traces, a batch at a time, for ever.
async fn forget_settled(spool: Spool, retention: Duration, stop: CancellationToken) {
    loop {
        let forgotten = spool
            .forget_settled(retention)
            .await
            .unwrap_or_else(|error| {
                Journal.spool_failed("forgetting settled messages", &error);
                0
            });
        let pause = if forgotten > 0 {
            FORGET_BUSY
        } else {
            FORGET_IDLE
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Gives free room back to the disk, a piece at a time, for ever.
async fn tidy(spool: Spool, stop: CancellationToken) {
    loop {
        let more = spool.tidy().await.unwrap_or_else(|error| {
            tracing::debug!(error = %crate::journal::ErrorChain(&error), "cannot tidy the spool");
            false
        });
        let pause = if more { TIDY_BUSY } else { TIDY_IDLE };
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// Together below the ten seconds that Docker and the thirty that Kubernetes give.
const SESSION_DRAIN_MAX: Duration = Duration::from_secs(4);
const FORWARD_DRAIN_MAX: Duration = Duration::from_secs(4);

/// Rules that refused something and wait to be looked at; more would say nothing new.
const REVALIDATIONS_MAX: usize = 64;

const TIDY_BUSY: Duration = Duration::from_millis(20);
const TIDY_IDLE: Duration = Duration::from_secs(2);
const FORGET_BUSY: Duration = Duration::from_millis(200);
const FORGET_IDLE: Duration = Duration::from_secs(300);
