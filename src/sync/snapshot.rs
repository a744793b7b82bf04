//! The last-known-good rules on disk: how a section is written down, and how it is read and trusted again.
//!
//! A section is a header (part 0) with its format, time and digest, and pieces behind it. Small sections are one
//! piece of JSON. Suppressions are pieces of a few thousand entries; what is added later becomes a further piece, so
//! that one new entry doesn't cost a rewrite of two hundred thousand. What reads otherwise than its digest says is
//! set aside: not trusted, not deleted.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::rules::{SectionName, SuppressionReason, SuppressionsBuilder};
use crate::spool::RulesPart;

use super::values::SectionValue;

/// What stands in front of a stored section.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Header {
    /// The format.
    pub(super) version: u32,
    /// When the provider last said so.
    pub(super) confirmed_at: Timestamp,
    /// Of the value.
    pub(super) digest: String,
    /// The number of the first piece.
    pub(super) first: u32,
    /// How many pieces there are.
    pub(super) pieces: u32,
    /// Suppressions only: when all of them were last fetched.
    #[serde(default)]
    pub(super) full_at: Option<Timestamp>,
    /// Suppressions only: the newest of them, as the provider writes times.
    #[serde(default)]
    pub(super) newest: String,
}

/// A section as it was stored.
#[derive(Debug)]
pub(super) struct Stored {
    pub(super) header: Header,
    pub(super) value: SectionValue,
}

/// Why a stored section is not trusted.
#[derive(Debug, thiserror::Error)]
pub(super) enum Untrusted {
    #[error("its header can't be read: {0}")]
    Header(String),
    #[error("it was written in format {0}, this program knows {VERSION}")]
    Version(u32),
    #[error("{0} of its pieces are missing")]
    Missing(u32),
    #[error("a piece can't be read: {0}")]
    Piece(String),
    #[error("it is not what was written: its digest differs")]
    Digest,
}

/// The pieces of a whole section, one at a time: all of them at once would take as much memory as the section
/// itself. They stand beside the ones that `before` counts, until a header counts these.
pub(super) fn write_pieces(
    value: &SectionValue,
    before: Option<&Header>,
) -> (u32, impl Iterator<Item = RulesPart>) {
    let first = match before {
        Some(before) if before.first == FIRST => OTHER_FIRST,
        _ => FIRST,
    };
    let section = value.name().word();
    let parts = (first..)
        .zip(pieces(value))
        .map(|(number, record)| RulesPart {
            section: section.to_owned(),
            number,
            record,
        });
    (first, parts)
}

/// The header alone.
pub(super) fn write_header(section: SectionName, header: &Header) -> RulesPart {
    RulesPart {
        section: section.word().to_owned(),
        number: 0,
        record: json(header),
    }
}

/// Suppressions that were added (with a reason) or have gone (without): a further piece, and the header that
/// counts it.
pub(super) fn write_changes(
    changes: &[(Box<str>, Option<SuppressionReason>)],
    header: &mut Header,
) -> Vec<RulesPart> {
    let number = header.first + header.pieces;
    header.pieces += 1;
    let section = SectionName::Suppressions;
    let piece = RulesPart {
        section: section.word().to_owned(),
        number,
        record: json(&changes),
    };
    vec![write_header(section, header), piece]
}

/// The sections among stored parts; those that can't be trusted with the reason, and with their parts under the name
/// that they are set aside by.
#[allow(clippy::type_complexity, reason = "two lists of pairs")]
pub(super) fn read(
    parts: Vec<RulesPart>,
) -> (Vec<Stored>, Vec<(SectionName, Untrusted, Vec<RulesPart>)>) {
    let mut by_section: BTreeMap<String, Vec<RulesPart>> = BTreeMap::new();
    for part in parts {
        by_section
            .entry(part.section.clone())
            .or_default()
            .push(part);
    }
    let (mut trusted, mut untrusted) = (Vec::new(), Vec::new());
    for (section, mut parts) in by_section {
        // What is set aside, or what a newer release added.
        let Ok(section) = section.parse::<SectionName>() else {
            continue;
        };
        match read_section(section, &parts) {
            Ok(stored) => trusted.push(stored),
            Err(why) => {
                for part in &mut parts {
                    part.section = format!("set-aside/{section}");
                }
                untrusted.push((section, why, parts));
            }
        }
    }
    (trusted, untrusted)
}

fn read_section(section: SectionName, parts: &[RulesPart]) -> Result<Stored, Untrusted> {
    let header = parts.iter().find(|part| part.number == 0);
    let header = header.map_or(&b""[..], |part| part.record.as_ref());
    let header: Header =
        serde_json::from_slice(header).map_err(|error| Untrusted::Header(error.to_string()))?;
    if header.version != VERSION {
        return Err(Untrusted::Version(header.version));
    }
    let pieces: Vec<&[u8]> = parts
        .iter()
        .filter(|part| header.range().contains(&part.number))
        .map(|part| part.record.as_ref())
        .collect();
    let found = u32::try_from(pieces.len()).unwrap_or(u32::MAX);
    if found != header.pieces {
        return Err(Untrusted::Missing(header.pieces.saturating_sub(found)));
    }
    let value = read_value(section, &pieces)?;
    if value.digest() != header.digest {
        return Err(Untrusted::Digest);
    }
    Ok(Stored { header, value })
}

fn read_value(section: SectionName, pieces: &[&[u8]]) -> Result<SectionValue, Untrusted> {
    fn one<T: DeserializeOwned>(pieces: &[&[u8]]) -> Result<Arc<T>, Untrusted> {
        let piece = pieces.first().copied().unwrap_or_default();
        let read = serde_json::from_slice(piece);
        read.map(Arc::new)
            .map_err(|error| Untrusted::Piece(error.to_string()))
    }
    Ok(match section {
        SectionName::Users => SectionValue::Users(one(pieces)?),
        SectionName::AllowedSenders => SectionValue::AllowedSenders(one(pieces)?),
        SectionName::AllowedRecipients => SectionValue::AllowedRecipients(one(pieces)?),
        SectionName::IpAllowListSmtp => SectionValue::IpSmtp(one(pieces)?),
        SectionName::IpAllowListApi => SectionValue::IpApi(one(pieces)?),
        SectionName::IpAuth => SectionValue::IpAuth(one(pieces)?),
        SectionName::Domains => SectionValue::Domains(one(pieces)?),
        SectionName::SingleSenders => SectionValue::SingleSenders(one(pieces)?),
        SectionName::Suppressions => {
            let mut table = SuppressionsBuilder::default();
            for piece in pieces {
                let changes: Vec<(Box<str>, Option<SuppressionReason>)> =
                    serde_json::from_slice(piece)
                        .map_err(|error| Untrusted::Piece(error.to_string()))?;
                for (entry, reason) in changes {
                    table.add(&entry, reason);
                }
            }
            SectionValue::Suppressions(Arc::new(table.build()))
        }
    })
}

fn pieces(value: &SectionValue) -> Box<dyn Iterator<Item = Bytes> + Send + '_> {
    let one = |piece: Bytes| Box::new(std::iter::once(piece));
    match value {
        SectionValue::Users(value) => one(json(value)),
        SectionValue::AllowedSenders(value) => one(json(value)),
        SectionValue::AllowedRecipients(value) => one(json(value)),
        SectionValue::IpSmtp(value) | SectionValue::IpApi(value) => one(json(value)),
        SectionValue::IpAuth(value) => one(json(value)),
        SectionValue::Domains(value) => one(json(value)),
        SectionValue::SingleSenders(value) => one(json(value)),
        SectionValue::Suppressions(value) => {
            let mut entries = value.iter();
            Box::new(std::iter::from_fn(move || {
                let piece: Vec<_> = entries.by_ref().take(ENTRIES_PER_PIECE).collect();
                (!piece.is_empty()).then(|| json(&piece))
            }))
        }
    }
}

fn json(value: &impl Serialize) -> Bytes {
    // These types have nothing that JSON can't say; what is lost here would be found by the digest.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}

impl Header {
    /// The numbers of its pieces.
    pub(super) fn range(&self) -> RangeInclusive<u32> {
        // Without pieces it is empty, but for numbers that no piece has.
        let behind = self.first.saturating_add(self.pieces);
        self.first..=behind.saturating_sub(1)
    }
}

/// Where pieces are numbered from, in turns: new ones stand beside the old ones until they are complete.
const FIRST: u32 = 1;
const OTHER_FIRST: u32 = 1_000_001;
pub(super) const VERSION: u32 = 1;
const ENTRIES_PER_PIECE: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &SectionValue) -> Header {
        Header {
            version: VERSION,
            confirmed_at: Timestamp(1),
            digest: value.digest(),
            first: FIRST,
            pieces: 0,
            full_at: None,
            newest: String::new(),
        }
    }

    /// All parts of a section.
    fn write(value: &SectionValue, header: &mut Header) -> Vec<RulesPart> {
        let (first, pieces) = write_pieces(value, None);
        let pieces: Vec<RulesPart> = pieces.collect();
        (header.first, header.pieces) = (first, u32::try_from(pieces.len()).unwrap_or(0));
        [vec![write_header(value.name(), header)], pieces].concat()
    }

    fn suppressions(count: usize) -> SectionValue {
        let entry = |n: usize| (format!("r{n}@example.org"), SuppressionReason::Bounce);
        SectionValue::Suppressions(Arc::new((0..count).map(entry).collect()))
    }

    #[test]
    fn what_is_written_is_read_again_and_changes_are_pieces_of_their_own() {
        let value = suppressions(12_000);
        let mut header = header(&value);
        let mut parts = write(&value, &mut header);
        assert_eq!(parts.len(), 4);
        let changes: [(Box<str>, _); 2] = [
            ("new@example.org".into(), Some(SuppressionReason::Spam)),
            ("r7@example.org".into(), None),
        ];
        let SectionValue::Suppressions(before) = &value else {
            return;
        };
        let after = before.with(
            changes
                .iter()
                .map(|(entry, reason)| (entry.as_ref(), *reason)),
        );
        let after = SectionValue::Suppressions(Arc::new(after));
        header.digest = after.digest();
        let added = write_changes(&changes, &mut header);
        parts.retain(|part| part.number != 0);
        parts.extend(added);
        let (trusted, untrusted) = read(parts);
        assert!(untrusted.is_empty());
        assert_eq!(trusted[0].value, after);
    }

    #[test]
    fn a_section_that_is_not_what_was_written_is_set_aside() {
        let value = suppressions(12_000);
        let parts = write(&value, &mut header(&value));
        let spoilt = |spoil: &dyn Fn(&mut Vec<RulesPart>)| {
            let mut parts = parts.clone();
            spoil(&mut parts);
            let (trusted, untrusted) = read(parts);
            assert!(trusted.is_empty());
            let (section, why, aside) = &untrusted[0];
            assert_eq!(*section, SectionName::Suppressions);
            assert!(
                aside
                    .iter()
                    .all(|part| part.section == "set-aside/suppressions")
            );
            why.to_string()
        };
        let said = [
            spoilt(&|parts| drop(parts.remove(2))),
            spoilt(&|parts| parts[1].record = Bytes::from_static(b"[[\"a@b.example\",\"spam\"]]")),
            spoilt(&|parts| parts[1].record = Bytes::from_static(b"[[\"a@b")),
            spoilt(&|parts| drop(parts.remove(0))),
            spoilt(&|parts| {
                let text = String::from_utf8_lossy(&parts[0].record)
                    .replace("\"version\":1", "\"version\":9");
                parts[0].record = Bytes::from(text);
            }),
        ];
        for (said, expected) in said.iter().zip([
            "1 of its pieces",
            "digest",
            "a piece can't",
            "header",
            "format 9",
        ]) {
            assert!(said.contains(expected), "{said}");
        }
    }
}
