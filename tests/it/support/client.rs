//! An SMTP client that sends exactly what it is told.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use smtp2go_gateway::mail::SpoolId;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

pub(crate) struct Client<S = TcpStream> {
    pub(crate) stream: S,
    received: Vec<u8>,
}

/// The last line of a reply, all lines in `text`.
pub(crate) struct Reply {
    pub(crate) text: String,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, code: &str) -> String {
        assert!(
            self.text.starts_with(code),
            "{code} expected: {}",
            self.text
        );
        self.text
    }
}

impl Client {
    /// Connects and reads the greeting.
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        let mut client = Self::raw(address).await;
        client.reply().await.expect("220");
        client
    }

    /// The same from another of this machine's loopback addresses.
    pub(crate) async fn connect_from(from: &str, address: SocketAddr) -> Self {
        let socket = TcpSocket::new_v4().unwrap();
        let from: IpAddr = from.parse().unwrap();
        socket.bind(SocketAddr::new(from, 0)).unwrap();
        let mut client = Self::over(socket.connect(address).await.unwrap());
        client.reply().await.expect("220");
        client
    }

    pub(crate) async fn raw(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self {
            stream,
            received: Vec::new(),
        }
    }

    /// Sends a line, reads the reply.
    pub(crate) async fn say(&mut self, line: &str) -> Reply {
        self.write(format!("{line}\r\n").as_bytes()).await;
        self.reply().await
    }

    pub(crate) async fn write(&mut self, octets: &[u8]) {
        self.stream.write_all(octets).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// The next reply, or what there was of it when the server closed.
    pub(crate) async fn reply(&mut self) -> Reply {
        let reading = async {
            loop {
                if let Some(end) = complete(&self.received) {
                    let reply: Vec<u8> = self.received.drain(..end).collect();
                    let text = String::from_utf8(reply).unwrap();
                    return Reply { text };
                }
                let read = self.stream.read_buf(&mut self.received).await;
                if !matches!(read, Ok(1..)) {
                    let rest = std::mem::take(&mut self.received);
                    let text = format!("(closed) {}", String::from_utf8_lossy(&rest));
                    return Reply { text };
                }
            }
        };
        let read = tokio::time::timeout(Duration::from_secs(20), reading).await;
        read.expect("a reply within 20 s")
    }

    pub(crate) async fn is_closed(&mut self) -> bool {
        self.reply().await.text.starts_with("(closed) ")
    }

    /// One transaction; the message must be accepted.
    pub(crate) async fn send(&mut self, from: &str, to: &[&str], message: &str) -> SpoolId {
        let end = self
            .try_send(from, to, message)
            .await
            .expect("250 2.0.0 queued as ");
        end.trim().rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// One transaction up to the reply that refuses it, or the last one.
    pub(crate) async fn try_send(&mut self, from: &str, to: &[&str], message: &str) -> Reply {
        let reply = self.say(&format!("MAIL FROM:<{from}>")).await;
        if !reply.text.starts_with("250") {
            return reply;
        }
        for recipient in to {
            self.say(&format!("RCPT TO:<{recipient}>"))
                .await
                .expect("250");
        }
        self.say("DATA").await.expect("354");
        let stuffed = message.replace("\r\n.", "\r\n..");
        self.write(stuffed.as_bytes()).await;
        self.say(".").await
    }
}

/// Where the first complete reply ends.
fn complete(received: &[u8]) -> Option<usize> {
    let mut start = 0;
    while let Some(length) = received[start..]
        .windows(2)
        .position(|pair| pair == b"\r\n")
    {
        let line = &received[start..start + length];
        start += length + 2;
        if line.get(3) != Some(&b'-') {
            return Some(start);
        }
    }
    None
}
