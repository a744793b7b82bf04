//! What was delivered and what the account holds, on disk: one JSON line a mail or a change, written before
//! the caller is answered.
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

use super::account::SimulatedAccount;
use super::mailroom::Delivery;

/// An open ledger.
#[derive(Debug)]
pub(super) struct Ledger(File);

#[derive(Deserialize, Serialize)]
#[serde(untagged)]
enum Line {
    Account {
        account: Box<SimulatedAccount>,
    },
    Mail {
        #[serde(flatten)]
        delivery: Box<Delivery>,
        mime: String,
    },
}

/// What a ledger holds.
#[derive(Default)]
pub(super) struct Contents {
    pub(super) deliveries: Vec<Delivery>,
    /// As it was last changed.
    pub(super) account: Option<SimulatedAccount>,
}

impl Ledger {
    /// Opens or creates the file; returns what is in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Contents)> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        let mut contents = Contents::default();
        let mut whole = 0;
        let mut lines = BufReader::new(&file);
        let mut text = Vec::new();
        loop {
            text.clear();
            let length = lines.read_until(b'\n', &mut text)?;
            let Some(line) = text.strip_suffix(b"\n").and_then(read) else {
                break;
            };
            whole += length as u64;
            match line {
                Read::Mail(delivery) => contents.deliveries.push(*delivery),
                Read::Account(account) => contents.account = Some(*account),
            }
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        Ok((Self(file), contents))
    }

    /// Adds a mail. A full disk costs the ledger's completeness, not the answer.
    pub(super) fn note(&mut self, delivery: &Delivery) {
        self.write(&Line::Mail {
            delivery: Box::new(delivery.clone()),
            mime: STANDARD.encode(&delivery.raw),
        });
    }

    /// Adds the account as it is now.
    pub(super) fn note_account(&mut self, account: &SimulatedAccount) {
        let account = Box::new(account.clone());
        self.write(&Line::Account { account });
    }

    fn write(&mut self, line: &Line) {
        let written = serde_json::to_string(line)
            .map_err(io::Error::from)
            .and_then(|line| self.0.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            tracing::error!(%error, "cannot write the simulator's state");
        }
    }
}

enum Read {
    Mail(Box<Delivery>),
    Account(Box<SimulatedAccount>),
}

fn read(line: &[u8]) -> Option<Read> {
    match serde_json::from_slice(line).ok()? {
        Line::Account { account } => Some(Read::Account(account)),
        Line::Mail { delivery, mime } => {
            let raw = Bytes::from(STANDARD.decode(mime).ok()?);
            Some(Read::Mail(Box::new(Delivery { raw, ..*delivery })))
        }
    }
}
