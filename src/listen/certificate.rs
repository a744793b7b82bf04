//! The certificate of a listener: from files, or made at first start; read again when it changes.
//!
//! A generated certificate is RSA-2048 with SHA-256, because devices that know nothing newer know
//! that, and names the host and every address it can be reached at, because devices are often set up
//! with an address. A file that changes into something broken leaves the last good certificate in use.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use rcgen::{CertificateParams, DnType, KeyPair, PKCS_RSA_SHA256, RsaKeySize, SanType};
use rustls::crypto::aws_lc_rs;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::clock::Clock;

/// A certificate that follows its files.
#[derive(Debug)]
pub struct Certificate {
    cert_file: PathBuf,
    key_file: PathBuf,
    clock: Clock,
    current: ArcSwap<CertifiedKey>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    checked_at: Instant,
    versions: (Option<SystemTime>, Option<SystemTime>),
}

/// There is no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file can't be read or written.
    #[error("cannot use {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds something else than it should.
    #[error("no usable {what} in {}", path.display())]
    Content {
        /// Certificate chain or private key.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// No certificate could be made.
    #[error("cannot make a certificate")]
    Generate(#[source] rcgen::Error),
}

impl Certificate {
    /// Reads certificate chain and key.
    ///
    /// # Errors
    /// When either can't be read, or they don't belong together.
    pub fn load(cert_file: &Path, key_file: &Path, clock: Clock) -> Result<Self, CertificateError> {
        let versions = (version(cert_file), version(key_file));
        Ok(Self {
            current: ArcSwap::from_pointee(read(cert_file, key_file)?),
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
            clock,
            seen: Mutex::new(Seen {
                checked_at: clock.now(),
                versions,
            }),
        })
    }

    /// Reads the generated certificate in `directory`; makes it where there is none.
    ///
    /// # Errors
    /// When it can't be made, stored or read.
    pub fn load_or_generate(
        directory: &Path,
        hostname: &str,
        bind: &[SocketAddr],
        clock: Clock,
    ) -> Result<Self, CertificateError> {
        let (cert_file, key_file) = (directory.join("cert.pem"), directory.join("key.pem"));
        if !cert_file.exists() || !key_file.exists() {
            generate(directory, &cert_file, &key_file, hostname, bind)?;
        } else if let Err(error) = restrict(&key_file) {
            tracing::warn!(key_file = %key_file.display(), %error, "others may read the private key");
        }
        Self::load(&cert_file, &key_file, clock)
    }

    /// Looks at the files at most once a second.
    fn follow(&self) {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(seen.checked_at) < CHECK_INTERVAL {
            return;
        }
        seen.checked_at = now;
        let versions = (version(&self.cert_file), version(&self.key_file));
        if versions == seen.versions {
            return;
        }
        // A half-written pair changes once more when it is whole.
        seen.versions = versions;
        match read(&self.cert_file, &self.key_file) {
            Ok(key) => {
                self.current.store(Arc::new(key));
                tracing::info!(cert_file = %self.cert_file.display(), "certificate reloaded");
            }
            Err(error) => tracing::warn!(
                error = %crate::journal::ErrorChain(&error),
                "new certificate can't be used, the old one stays"
            ),
        }
    }
}

impl ResolvesServerCert for Certificate {
    /// One certificate whatever the client asks for: devices connect by address and send no name.
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.follow();
        Some(self.current.load_full())
    }
}

fn version(path: &Path) -> Option<SystemTime> {
    fs::metadata(path)
        .and_then(|metadata| metadata.modified())
        .ok()
}

fn read(cert_file: &Path, key_file: &Path) -> Result<CertifiedKey, CertificateError> {
    let open = |path: &Path| {
        fs::read(path).map_err(|source| CertificateError::File {
            path: path.to_owned(),
            source,
        })
    };
    let bad = |what, path: &Path, source: Box<dyn std::error::Error + Send + Sync>| {
        CertificateError::Content {
            what,
            path: path.to_owned(),
            source,
        }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&open(cert_file)?)
        .collect::<Result<_, _>>()
        .map_err(|error| bad("certificate chain", cert_file, error.into()))?;
    if chain.is_empty() {
        return Err(bad(
            "certificate chain",
            cert_file,
            "no CERTIFICATE section".into(),
        ));
    }
    let key = PrivateKeyDer::from_pem_slice(&open(key_file)?)
        .map_err(|error| bad("private key", key_file, error.into()))?;
    CertifiedKey::from_der(chain, key, &aws_lc_rs::default_provider())
        .map_err(|error| bad("private key", key_file, error.into()))
}

fn generate(
    directory: &Path,
    cert_file: &Path,
    key_file: &Path,
    hostname: &str,
    bind: &[SocketAddr],
) -> Result<(), CertificateError> {
    let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
        .map_err(CertificateError::Generate)?;
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, hostname.to_owned());
    for name in [hostname, "localhost"] {
        // A name with an underscore is no DNS name; the addresses still serve.
        if let Ok(name) = name.try_into() {
            params.subject_alt_names.push(SanType::DnsName(name));
        }
    }
    for address in reachable(bind) {
        params.subject_alt_names.push(SanType::IpAddress(address));
    }
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    // Nobody renews a printer's trust store: as long as clients accept it.
    params.not_after = rcgen::date_time_ymd(2049, 12, 31);
    let certificate = params
        .self_signed(&key)
        .map_err(CertificateError::Generate)?;
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::File { path, source }
    };
    for directory in [directory.parent(), Some(directory)].into_iter().flatten() {
        make_directory(directory).map_err(failed(directory))?;
    }
    write_private(key_file, &key.serialize_pem()).map_err(failed(key_file))?;
    write_private(cert_file, &certificate.pem()).map_err(failed(cert_file))?;
    tracing::info!(cert_file = %cert_file.display(), "made a self-signed certificate");
    Ok(())
}

/// Every address a client may have connected to.
fn reachable(bind: &[SocketAddr]) -> Vec<IpAddr> {
    let mut addresses: Vec<IpAddr> = bind
        .iter()
        .map(|address| address.ip().to_canonical())
        .filter(|address| !address.is_unspecified())
        .collect();
    if bind.iter().any(|address| address.ip().is_unspecified()) {
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        addresses.extend(interfaces.iter().map(if_addrs::Interface::ip));
    }
    addresses.push(IpAddr::from([127, 0, 0, 1]));
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// A directory of our own, and no link to somebody else's.
fn make_directory(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            match fs::symlink_metadata(path)?.is_dir() {
                true => Ok(()),
                false => Err(io::Error::other("a link or a file is in the way")),
            }
        }
        made => made,
    }
}

/// A generated key is its owner's alone, whatever a copy has made of it.
fn restrict(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let found = fs::symlink_metadata(path)?;
    if found.is_file() && found.permissions().mode() & 0o077 != 0 {
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

/// For the owner's eyes only, never half written under its final name, and never through a link that was there before.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let partial = path.with_extension("partial");
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&partial)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(&partial, path)
}

const CHECK_INTERVAL: Duration = Duration::from_secs(1);
