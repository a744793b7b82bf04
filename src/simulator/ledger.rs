//! What was delivered and what the account holds, on disk: one JSON line a mail or a change, written before
//! the caller is answered.
//!
//! A simulator that is killed and started again on the same file still knows every mail that it answered
//! for. The account is written whole whenever it changes; a file with many old states of it is written anew when
//! it is opened. A last line that was cut off by the kill is cut away: nobody was answered for it.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::account::SimulatedAccount;
use super::happenings::Happening;
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
    Happening {
        happening: Box<Happening>,
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
    pub(super) happenings: Vec<Happening>,
}

impl Ledger {
    /// Opens or creates the file for this process alone; returns what is in it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Contents)> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            // It holds keys and passwords.
            .mode(0o600)
            .open(path)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)
            .map_err(|_| io::Error::new(io::ErrorKind::AddrInUse, "another simulator uses it"))?;
        let mut contents = Contents::default();
        let mut whole = 0;
        let mut superseded = 0;
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
                Read::Account(account) => {
                    superseded += u32::from(contents.account.is_some());
                    contents.account = Some(*account);
                }
                Read::Happening(happening) => contents.happenings.push(*happening),
            }
        }
        let begins_like_ours = ["{\"account\":", "{\"email_id\":", "{\"happening\":"]
            .iter()
            .any(|start| text.starts_with(&start.as_bytes()[..start.len().min(text.len())]));
        if whole == 0 && !text.is_empty() && !begins_like_ours {
            let words = "it is no state of a simulator: the file is left as it is";
            return Err(io::Error::new(io::ErrorKind::InvalidData, words));
        }
        file.set_len(whole)?;
        file.seek(SeekFrom::End(0))?;
        let mut ledger = Self(file);
        if superseded > SUPERSEDED_MAX {
            match Self::rewritten(path, &contents) {
                Ok(fresh) => ledger = fresh,
                Err(error) => {
                    tracing::warn!(%error, "the simulator's state stays as large as it is")
                }
            }
        }
        Ok((ledger, contents))
    }

    /// The same contents in a new file, without what was superseded, in the place of the old one.
    fn rewritten(path: &Path, contents: &Contents) -> io::Result<Self> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(".new");
        let mut options = OpenOptions::new();
        options.create(true).truncate(true).write(true).mode(0o600);
        let file = options.open(&fresh)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        let mut ledger = Self(file);
        if let Some(account) = &contents.account {
            ledger.append(&Line::of_account(account))?;
        }
        for delivery in &contents.deliveries {
            ledger.append(&Line::of_mail(delivery))?;
        }
        for happening in &contents.happenings {
            ledger.append(&Line::of_happening(happening))?;
        }
        ledger.0.sync_all()?;
        std::fs::rename(&fresh, path)?;
        Ok(ledger)
    }

    /// Adds a mail. A full disk costs the ledger's completeness, not the answer.
    pub(super) fn note(&mut self, delivery: &Delivery) {
        self.write(&Line::of_mail(delivery));
    }

    /// Adds the account as it is now.
    pub(super) fn note_account(&mut self, account: &SimulatedAccount) {
        self.write(&Line::of_account(account));
    }

    /// Adds what happened to a mail.
    pub(super) fn note_happening(&mut self, happening: &Happening) {
        self.write(&Line::of_happening(happening));
    }

    fn write(&mut self, line: &Line) {
        let before = self.0.stream_position();
        if let Err(error) = self.append(line) {
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

    fn append(&mut self, line: &Line) -> io::Result<()> {
        let line = serde_json::to_string(line)?;
        self.0.write_all(format!("{line}\n").as_bytes())
    }
}

impl Line {
    fn of_mail(delivery: &Delivery) -> Self {
        Self::Mail {
            delivery: Box::new(delivery.clone()),
            mime: STANDARD.encode(&delivery.raw),
        }
    }

    fn of_account(account: &SimulatedAccount) -> Self {
        Self::Account {
            account: Box::new(account.clone()),
        }
    }

    fn of_happening(happening: &Happening) -> Self {
        Self::Happening {
            happening: Box::new(happening.clone()),
        }
    }
}

/// So many old states of the account are worth a new file.
const SUPERSEDED_MAX: u32 = 100;

enum Read {
    Mail(Box<Delivery>),
    Account(Box<SimulatedAccount>),
    Happening(Box<Happening>),
}

fn read(line: &[u8]) -> Option<Read> {
    match serde_json::from_slice(line).ok()? {
        Line::Account { account } => Some(Read::Account(account)),
        Line::Happening { happening } => Some(Read::Happening(happening)),
        Line::Mail { delivery, mime } => {
            let raw = Bytes::from(STANDARD.decode(mime).ok()?);
            Some(Read::Mail(Box::new(Delivery { raw, ..*delivery })))
        }
    }
}
