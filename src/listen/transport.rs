//! A client's connection, in clear or encrypted.

use std::io;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::mail::TlsFacts;

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

    /// Starts TLS as the server.
    pub(super) async fn encrypt(self, acceptor: &TlsAcceptor) -> io::Result<(Self, TlsFacts)> {
        let Self::Clear(stream) = self else {
            return Err(io::Error::other("TLS is already on"));
        };
        let stream = timeout(HANDSHAKE_MAX, acceptor.accept(stream)).await??;
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

    /// The first octet, if it arrives in time; it is not taken.
    pub(super) async fn first_octet_within(&self, wait: Duration) -> Option<u8> {
        let Self::Clear(stream) = self else {
            return None;
        };
        let mut first = [0];
        match timeout(wait, stream.peek(&mut first)).await {
            Ok(Ok(1)) => Some(first[0]),
            _ => None,
        }
    }
}

const WRITE_MAX: Duration = Duration::from_secs(60);
const HANDSHAKE_MAX: Duration = Duration::from_secs(30);
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_OCTETS_MAX: usize = 1024 * 1024;
