//! What was delivered, on disk: one JSON line a mail, written before the caller is answered.
//!
//! A simulator that is killed and started again on the same file still knows every mail that it answered
//! for. A last line that was cut off by the kill is cut away: nobody was answered for it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::mailroom::Delivery;

/// An open ledger.
#[derive(Debug)]
pub(super) struct Ledger(File);

#[derive(Deserialize, Serialize)]
struct Line {
    #[serde(flatten)]
    delivery: Delivery,
    mime: String,
}

impl Ledger {
    /// Opens or creates the file; returns the deliveries in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<Delivery>)> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut deliveries = Vec::new();
        let mut whole = 0;
        let mut lines = BufReader::new(&file);
        let mut text = Vec::new();
        loop {
            text.clear();
            let length = lines.read_until(b'\n', &mut text)?;
            let Some(delivery) = text.strip_suffix(b"\n").and_then(read) else {
                break;
            };
            whole += length as u64;
            deliveries.push(delivery);
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self(file), deliveries))
    }

    /// Adds a mail. A full disk costs the ledger's completeness, not the answer.
    pub(super) fn note(&mut self, delivery: &Delivery) {
        let line = Line {
            delivery: delivery.clone(),
            mime: STANDARD.encode(&delivery.raw),
        };
        let written = serde_json::to_string(&line)
            .map_err(io::Error::from)
            .and_then(|line| self.0.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            tracing::error!(%error, "cannot write the simulator's state");
        }
    }
}

fn read(line: &[u8]) -> Option<Delivery> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let raw = STANDARD.decode(line.mime).ok()?;
    Some(Delivery {
        raw: Bytes::from(raw),
        ..line.delivery
    })
}
