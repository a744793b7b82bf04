//! A client's connection, in clear or encrypted.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest, Ready};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::mail::{Opening, TlsFacts, TlsFault};

/// Either kind of connection.
#[derive(Debug)]
pub(super) enum Transport {
    Clear(TcpStream),
    Encrypted(Box<TlsStream<TcpStream>>),
}

impl Transport {
    /// Appends what the client sent; 0 at its end. `octets` is how much to be ready for.
    pub(super) async fn read(&mut self, buffer: &mut BytesMut, octets: usize) -> io::Result<usize> {
        match self {
            Self::Clear(stream) => {
                // An idle connection holds no buffer.
                stream.readable().await?;
                buffer.reserve(octets);
                stream.read_buf(buffer).await
            }
            Self::Encrypted(stream) => {
                buffer.reserve(octets);
                stream.read_buf(buffer).await
            }
        }
    }

    /// Sends everything, or fails when the client does not take it in time.
    pub(super) async fn write(&mut self, octets: &[u8]) -> io::Result<()> {
        let written = async {
            match self {
                Self::Clear(stream) => stream.write_all(octets).await,
                Self::Encrypted(stream) => {
                    stream.write_all(octets).await?;
                    stream.flush().await
                }
            }
        };
        timeout(WRITE_MAX, written).await?
    }

    /// Closes our side, then reads on for a moment: closing with unread input would reset the
    /// connection, and the client would never see our last reply.
    pub(super) async fn close(&mut self) {
        let linger = async {
            match self {
                Self::Clear(stream) => stream.shutdown().await?,
                Self::Encrypted(stream) => stream.shutdown().await?,
            }
            let mut rest = BytesMut::new();
            let mut seen = 0;
            while seen < LINGER_OCTETS_MAX {
                rest.clear();
                match self.read(&mut rest, 16 * 1024).await? {
                    0 => break,
                    count => seen += count,
                }
            }
            io::Result::Ok(())
        };
        // The client's manners at the end of a session are of no consequence.
        drop(timeout(LINGER_MAX, linger).await);
    }

    /// How the client begins, if it does in time; nothing is taken.
    pub(super) async fn opening(&self, wait: Duration) -> Result<Opening, TlsFault> {
        let Self::Clear(stream) = self else {
            return Err(TlsFault::Other);
        };
        let mut first = [0; Opening::OCTETS];
        let mut seen = 0;
        let arrived = async {
            // Some clients send their hello in pieces; what stands behind its first octet tells the version.
            loop {
                let length = stream.peek(&mut first).await?;
                if length == seen || !Opening::may_become_another(&first[..length]) {
                    return io::Result::Ok(length);
                }
                seen = length;
                tokio::time::sleep(PIECE_WAIT).await;
            }
        };
        match timeout(wait, arrived).await {
            Err(_) => Err(TlsFault::TooSlow),
            Ok(Ok(length @ 1..)) => Ok(Opening::of(&first[..length])),
            Ok(_) => Err(TlsFault::Left),
        }
    }

    /// Starts TLS as the server.
    pub(super) async fn encrypt(
        self,
        acceptor: &TlsAcceptor,
    ) -> Result<(Self, TlsFacts), TlsFault> {
        let opening = self.opening(HANDSHAKE_MAX).await?;
        match opening {
            Opening::Tls | Opening::OldTls => {}
            Opening::Sslv2 => return Err(TlsFault::Sslv2),
            Opening::Proxy | Opening::Text => return Err(TlsFault::PlainText),
        }
        let Self::Clear(stream) = self else {
            return Err(TlsFault::Other);
        };
        let stream = match timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => {
                tracing::debug!(%error, "handshake failed");
                return Err(match opening {
                    Opening::OldTls => TlsFault::Version,
                    _ => fault_behind(&error),
                });
            }
            Err(_) => return Err(TlsFault::TooSlow),
        };
        let connection = stream.get_ref().1;
        let facts = TlsFacts {
            version: match connection.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(rustls::ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "TLS",
            },
            cipher: connection
                .negotiated_cipher_suite()
                .map(|suite| format!("{:?}", suite.suite()))
                .unwrap_or_default(),
        };
        Ok((Self::Encrypted(Box::new(stream)), facts))
    }

    /// Waits until the client has closed its side. What it has sent is not taken.
    pub(super) async fn left(&self) {
        let stream = match self {
            Self::Clear(stream) => stream,
            Self::Encrypted(stream) => stream.get_ref().0,
        };
        let here = |ready: io::Result<Ready>| ready.is_ok_and(|ready| !ready.is_read_closed());
        while here(stream.ready(Interest::READABLE).await) {
            // Unread octets keep it ready: look again in a moment.
            tokio::time::sleep(LEFT_LOOK).await;
        }
    }
}

/// What the library's error says of the client.
fn fault_behind(error: &io::Error) -> TlsFault {
    use rustls::{AlertDescription as Alert, PeerIncompatible as Lacks};
    let cause = error
        .get_ref()
        .and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(rustls::Error::PeerIncompatible(lacks)) => match lacks {
            Lacks::Tls12NotOffered
            | Lacks::Tls12NotOfferedOrEnabled
            | Lacks::SupportedVersionsExtensionRequired => TlsFault::Version,
            Lacks::NoCipherSuitesInCommon => TlsFault::Suites,
            Lacks::NoKxGroupsInCommon
            | Lacks::KeyShareExtensionRequired
            | Lacks::NamedGroupsExtensionRequired
            | Lacks::UncompressedEcPointsRequired
            | Lacks::NoEcPointFormatsInCommon => TlsFault::Curve,
            Lacks::NoSignatureSchemesInCommon | Lacks::SignatureAlgorithmsExtensionRequired => {
                TlsFault::Signature
            }
            _ => TlsFault::Other,
        },
        Some(rustls::Error::AlertReceived(alert)) => match alert {
            Alert::ProtocolVersion | Alert::InappropriateFallback => TlsFault::Version,
            Alert::HandshakeFailure | Alert::InsufficientSecurity => TlsFault::Suites,
            Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::UnknownCA
            | Alert::AccessDenied => TlsFault::Distrusted,
            Alert::CloseNotify | Alert::UserCanceled => TlsFault::Left,
            _ => TlsFault::Other,
        },
        Some(_) => TlsFault::Other,
        None => match error.kind() {
            io::ErrorKind::UnexpectedEof
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionAborted
            | io::ErrorKind::BrokenPipe => TlsFault::Left,
            _ => TlsFault::Other,
        },
    }
}

const WRITE_MAX: Duration = Duration::from_secs(60);
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
/// Pieces of one hello follow each other within it.
const PIECE_WAIT: Duration = Duration::from_millis(200);
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_OCTETS_MAX: usize = 1024 * 1024;
/// How often is looked whether a client is still there.
const LEFT_LOOK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use rustls::{AlertDescription as Alert, PeerIncompatible as Lacks};

    use super::*;

    #[test]
    fn a_failed_handshake_is_told_by_its_cause() {
        let lacks = rustls::Error::PeerIncompatible;
        let alert = rustls::Error::AlertReceived;
        for (error, fault) in [
            (lacks(Lacks::Tls12NotOffered), TlsFault::Version),
            (alert(Alert::ProtocolVersion), TlsFault::Version),
            (lacks(Lacks::NoCipherSuitesInCommon), TlsFault::Suites),
            (alert(Alert::HandshakeFailure), TlsFault::Suites),
            (lacks(Lacks::NoKxGroupsInCommon), TlsFault::Curve),
            (lacks(Lacks::NamedGroupsExtensionRequired), TlsFault::Curve),
            (lacks(Lacks::NoEcPointFormatsInCommon), TlsFault::Curve),
            (
                lacks(Lacks::NoSignatureSchemesInCommon),
                TlsFault::Signature,
            ),
            (
                lacks(Lacks::SignatureAlgorithmsExtensionRequired),
                TlsFault::Signature,
            ),
            (alert(Alert::UnknownCA), TlsFault::Distrusted),
            (alert(Alert::BadCertificate), TlsFault::Distrusted),
            (alert(Alert::UserCanceled), TlsFault::Left),
            (alert(Alert::InternalError), TlsFault::Other),
            (rustls::Error::DecryptError, TlsFault::Other),
        ] {
            let words = format!("{error:?}");
            let error = io::Error::new(io::ErrorKind::InvalidData, error);
            assert_eq!(fault_behind(&error), fault, "{words}");
        }
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        assert_eq!(fault_behind(&reset), TlsFault::Left);
    }
}
