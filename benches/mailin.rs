//! The baseline: mailin-embedded with one synced file per message, as a small gateway would be written first.
//!
//! `mailin ADDRESS DIRECTORY` serves with 64 threads until it is killed. `250` means that the file is synced.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    reason = "a benchmark that can't go on has failed"
)]

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mailin_embedded::response::{INTERNAL_ERROR, OK};
use mailin_embedded::{Handler, Response, Server, SslConfig};

struct Files {
    directory: PathBuf,
    number: Arc<AtomicU64>,
    file: Option<BufWriter<File>>,
}

impl Clone for Files {
    /// Each connection has a clone of its own, before it has a file.
    fn clone(&self) -> Self {
        Self {
            directory: self.directory.clone(),
            number: Arc::clone(&self.number),
            file: None,
        }
    }
}

impl Handler for Files {
    fn data_start(&mut self, _: &str, _: &str, _: bool, _: &[String]) -> Response {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        self.file = File::create(self.directory.join(number.to_string()))
            .ok()
            .map(BufWriter::new);
        if self.file.is_some() {
            OK
        } else {
            INTERNAL_ERROR
        }
    }

    fn data(&mut self, octets: &[u8]) -> io::Result<()> {
        match &mut self.file {
            Some(file) => file.write_all(octets),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn data_end(&mut self) -> Response {
        let file = self.file.take().and_then(|file| file.into_inner().ok());
        match file.map(|file| file.sync_data()) {
            Some(Ok(())) => OK,
            _ => INTERNAL_ERROR,
        }
    }

    fn mail(&mut self, _: IpAddr, _: &str, _: &str) -> Response {
        OK
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().filter(|word| word != "--bench").collect();
    let [_, address, directory] = arguments.as_slice() else {
        // `cargo bench` runs every benchmark without arguments; this one serves another.
        return;
    };
    let mut server = Server::new(Files {
        directory: directory.into(),
        number: Arc::default(),
        file: None,
    });
    server
        .with_name("mailin")
        .with_ssl(SslConfig::None)
        .unwrap()
        .with_num_threads(64)
        .with_addr(address)
        .unwrap();
    server.serve().unwrap();
}
