//! What was delivered to whom.

use std::collections::VecDeque;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

use super::happenings::Happening;
use super::ledger::Ledger;

/// One mail as it would reach its recipients.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Delivery {
    /// The name the sender was told.
    pub email_id: String,
    /// When.
    pub at: Timestamp,
    /// `/email/mime` or `/email/send`.
    pub endpoint: String,
    /// Whose key it came with: the part of a key that names it.
    #[serde(default)]
    pub username: String,
    /// What it was scheduled as, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_id: Option<String>,
    /// The address of the From header.
    pub sender: String,
    /// Who got it, each once, in lower case.
    pub recipients: Vec<String>,
    /// Who would have got it, but for what `objection` says.
    pub rejected: Vec<String>,
    /// Why some were rejected; empty where nobody was.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub objection: String,
    /// Who got a blind copy for the account's own records.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit: Option<String>,
    /// The account below the main one that sent it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subaccount: Option<String>,
    /// Whether a sandboxed key sent it: it counts, and reaches nobody.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub sandboxed: bool,
    /// Octets.
    pub size: usize,
    /// The message without Bcc.
    #[serde(skip)]
    pub raw: Bytes,
}

/// The mails kept: the newest ones, within bounds.
#[derive(Debug, Default)]
pub(super) struct Mailroom {
    kept: VecDeque<Delivery>,
    octets: usize,
    count: u64,
    happenings: Vec<Happening>,
    ledger: Option<Ledger>,
}

impl Mailroom {
    /// The ledger, where there is one.
    pub(super) fn ledger(&mut self) -> Option<&mut Ledger> {
        self.ledger.as_mut()
    }

    /// With the mails of the ledger, and every later one written to it.
    pub(super) fn with_ledger(
        ledger: Ledger,
        deliveries: Vec<Delivery>,
        happenings: Vec<Happening>,
    ) -> Self {
        let mut room = Self {
            happenings,
            ..Self::default()
        };
        for delivery in deliveries {
            room.keep(delivery);
        }
        room.ledger = Some(ledger);
        room
    }

    /// Keeps a mail; returns how many there have been in all.
    pub(super) fn keep(&mut self, delivery: Delivery) -> u64 {
        if let Some(ledger) = &mut self.ledger {
            ledger.note(&delivery);
        }
        self.octets += delivery.size;
        self.kept.push_back(delivery);
        while (self.kept.len() > MAILS_MAX || self.octets > OCTETS_MAX)
            && let Some(oldest) = self.kept.pop_front()
        {
            self.octets -= oldest.size;
        }
        self.count += 1;
        self.count
    }

    /// Keeps what happened to a mail later.
    pub(super) fn note_happening(&mut self, happening: Happening) {
        if let Some(ledger) = &mut self.ledger {
            ledger.note_happening(&happening);
        }
        self.happenings.push(happening);
        let surplus = self.happenings.len().saturating_sub(MAILS_MAX);
        self.happenings.drain(..surplus);
    }

    /// What happened to mails later, in that order.
    pub(super) fn happenings(&self) -> Vec<Happening> {
        self.happenings.clone()
    }

    pub(super) fn next_email_id(&self) -> String {
        // Shaped like the real ones: 6, 11 and 4 characters.
        let number = self.count + 1;
        format!("1sim{:02}-{number:011}-GW{:02}", number % 100, number % 97)
    }

    /// How many mails this user or key has sent since then.
    pub(super) fn count_of(&self, username: &str, since: Timestamp) -> usize {
        let recent = self.kept.iter().rev().take_while(|mail| mail.at >= since);
        recent.filter(|mail| mail.username == username).count()
    }

    pub(super) fn deliveries(&self) -> Vec<Delivery> {
        self.kept.iter().cloned().collect()
    }

    pub(super) fn raw(&self, email_id: &str) -> Option<Bytes> {
        self.kept
            .iter()
            .find(|delivery| delivery.email_id == email_id)
            .map(|delivery| delivery.raw.clone())
    }
}

const MAILS_MAX: usize = 100_000;
const OCTETS_MAX: usize = 512 * 1024 * 1024;
