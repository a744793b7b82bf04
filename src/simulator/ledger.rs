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
use rustix::fs::{FlockOperation, flock};
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
    /// Opens or creates the file for this process alone; returns what is in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Contents)> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::new(io::ErrorKind::AddrInUse, "another simulator uses it"))?;
        let mut contents = Contents::default();
        let mut whole = 0;
        let mut lines = BufReader::new(&file);
        let mut text = Vec::new();
        for number in 1.. {
            text.clear();
            let length = lines.read_until(b'\n', &mut text)?;
            let Some(line) = text.strip_suffix(b"\n") else {
                // The end, or a line that a kill cut off.
                break;
            };
            let Some(line) = read(line) else {
                let words =
                    format!("line {number} is none of a simulator's: the file is left as it is");
                return Err(io::Error::new(io::ErrorKind::InvalidData, words));
            };
            whole += length as u64;
            match line {
                Read::Mail(delivery) => contents.deliveries.push(*delivery),
                Read::Account(account) => contents.account = Some(*account),
            }
        }
        if whole == 0 && !text.is_empty() && !text.starts_with(b"{") {
            let words = "it is no state of a simulator: the file is left as it is";
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
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
        let before = self.0.stream_position();
        let written = serde_json::to_string(line)
            .map_err(io::Error::from)
            .and_then(|line| self.0.write_all(format!("{line}\n").as_bytes()));
        if let Err(error) = written {
            tracing::error!(%error, "cannot write the simulator's state");
            // Half a line in the middle would make the rest unreadable.
            let undone = before.and_then(|before| {
                self.0.set_len(before)?;
                self.0.seek(SeekFrom::Start(before))
            });
            if let Err(error) = undone {
                tracing::error!(%error, "the simulator's state is damaged");
            }
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
