//! The certificate of a server; HTTP/2 where the client wants it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Certificate chain and key of a server, PEM.
#[derive(Clone, Debug)]
pub struct ServerCertificate {
    /// The chain.
    pub cert_file: PathBuf,
    /// Its private key.
    pub key_file: PathBuf,
}

/// A certificate can't be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the certificate {} with the key {}", cert_file.display(), key_file.display())]
pub struct ServerCertificateError {
    cert_file: PathBuf,
    key_file: PathBuf,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl ServerCertificate {
    /// Reads both files.
    ///
    /// # Errors
    /// When they can't be read, or don't belong together.
    pub(super) fn load(&self) -> Result<TlsAcceptor, ServerCertificateError> {
        let config = read(&self.cert_file, &self.key_file);
        let config = config.map_err(|source| ServerCertificateError {
            cert_file: self.cert_file.clone(),
            key_file: self.key_file.clone(),
            source,
        })?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn read(
    cert_file: &Path,
    key_file: &Path,
) -> Result<ServerConfig, Box<dyn std::error::Error + Send + Sync>> {
    let chain = CertificateDer::pem_file_iter(cert_file)?.collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_file(key_file)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
