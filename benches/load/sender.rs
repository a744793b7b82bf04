//! Many clients that send the same mail as fast as they are let.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    /// Clients at once.
    pub(crate) clients: usize,
    /// Messages in all.
    pub(crate) messages: usize,
    /// Octets of each message.
    pub(crate) octets: usize,
    /// Whether every message has a connection of its own.
    pub(crate) connect_each: bool,
}

impl Load {
    /// Sends everything; returns how long it took until the last 250.
    pub(crate) async fn send(self, to: SocketAddr) -> Duration {
        let message = Arc::new(message(self.octets));
        let left = Arc::new(AtomicUsize::new(self.messages));
        let started = Instant::now();
        let mut clients = JoinSet::new();
        for _ in 0..self.clients {
            clients.spawn(client(
                to,
                Arc::clone(&message),
                Arc::clone(&left),
                self.connect_each,
            ));
        }
        clients.join_all().await;
        started.elapsed()
    }
}

async fn client(to: SocketAddr, message: Arc<Vec<u8>>, left: Arc<AtomicUsize>, connect_each: bool) {
    let mut connection = None;
    let one_more = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
        .is_ok()
    {
        let mut stream = match connection.take() {
            Some(stream) => stream,
            None => connect(to).await,
        };
        for command in [
            "MAIL FROM:<a@example.com>",
            "RCPT TO:<b@example.org>",
            "DATA",
        ] {
            say(&mut stream, command).await;
        }
        stream.write_all(&message).await.unwrap();
        reply(&mut stream).await;
        if connect_each {
            say(&mut stream, "QUIT").await;
        } else {
            connection = Some(stream);
        }
    }
}

/// Up to the answer to EHLO.
pub(crate) async fn connect(to: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(to).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut stream = BufReader::with_capacity(1024, stream);
    reply(&mut stream).await;
    say(&mut stream, "EHLO bench").await;
    stream
}

async fn say(stream: &mut BufReader<TcpStream>, command: &str) {
    let line = format!("{command}\r\n");
    stream.write_all(line.as_bytes()).await.unwrap();
    reply(stream).await;
}

async fn reply(stream: &mut BufReader<TcpStream>) {
    let mut line = String::new();
    loop {
        line.clear();
        stream.read_line(&mut line).await.unwrap();
        assert!(line.starts_with(['2', '3']), "refused: {line:?}");
        if line.as_bytes()[3] == b' ' {
            return;
        }
    }
}

/// A header block and lines up to `octets`, with the end of data.
fn message(octets: usize) -> Vec<u8> {
    let mut message =
        b"From: a@example.com\r\nTo: b@example.org\r\nSubject: bench\r\n\r\n".to_vec();
    while message.len() < octets {
        message.extend_from_slice(&[b'x'; 76]);
        message.extend_from_slice(b"\r\n");
    }
    message.extend_from_slice(b".\r\n");
    message
}
