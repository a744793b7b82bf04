//! One API call's worth of a message: who it reaches, and how its header block differs.
//!
//! A dispatch does not hold a copy of the header block. It holds the edits that turn the stored block into the one to
//! send, and of these only its own: what all copies need stands once per message, in [`Shared`]. So a message for a
//! thousand hidden recipients costs a thousand short lines, whatever its header looks like.

use serde::{Deserialize, Serialize};

use super::Mailbox;

/// The unit of attempt, outcome and retry: the provider answers per mail, not per recipient.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Dispatch {
    /// Exactly the addresses that the edited header block names as recipients.
    pub recipients: Vec<Mailbox>,
    /// This copy's own changes to the stored header block, ascending and not overlapping.
    pub edits: Vec<Edit>,
    /// Whether To and Cc are replaced by lines of its own: then [`Shared::renamed`] applies, too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub readdressed: bool,
}

impl Dispatch {
    /// Octets that its plan takes, roughly.
    pub fn octets(&self) -> u64 {
        let names = self.recipients.iter().map(|mailbox| mailbox.as_str().len());
        names.map(|octets| octets as u64).sum::<u64>() + octets_of(&self.edits)
    }
}

/// What all copies of a message have in common.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
pub struct Shared {
    /// Edits of every copy, ascending and not overlapping.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<Edit>,
    /// Further edits of the copies whose To and Cc are replaced: what stood there gets another name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub renamed: Vec<Edit>,
    /// What was changed in the message before it was stored, in words.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub mended: Vec<String>,
}

impl Shared {
    /// The edits of one copy, ascending.
    pub fn edits_of<'a>(&'a self, dispatch: &'a Dispatch) -> Vec<&'a Edit> {
        let renamed: &[Edit] = if dispatch.readdressed {
            &self.renamed
        } else {
            &[]
        };
        let own = dispatch.edits.iter();
        let mut edits: Vec<&Edit> = own.chain(renamed).chain(&self.edits).collect();
        // Stable: new lines come before the name that they push down.
        edits.sort_by_key(|edit| edit.start);
        edits
    }

    /// Whether this copy is passed on as it came.
    pub fn is_exact(&self, dispatch: &Dispatch) -> bool {
        self.mended.is_empty() && self.edits_of(dispatch).is_empty()
    }

    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Octets that it takes, roughly.
    pub fn octets(&self) -> u64 {
        octets_of(&self.edits) + octets_of(&self.renamed)
    }
}

fn octets_of(edits: &[Edit]) -> u64 {
    edits
        .iter()
        .map(|edit| edit.text.len() as u64 + EDIT_OCTETS)
        .sum()
}

/// Names and numbers of an edit as it is stored.
const EDIT_OCTETS: u64 = 40;

/// Replaces the octets `start..end` of the stored header block by `text`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Edit {
    /// First octet replaced.
    pub start: usize,
    /// The octet behind the last one replaced; equal to `start` for an insertion.
    pub end: usize,
    /// What stands there instead; empty to delete.
    pub text: String,
}

/// `envelope.mismatch`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Mismatch {
    /// Make the headers fit the envelope.
    Rewrite,
    /// Refuse the message, naming the addresses.
    Refuse,
}

/// `envelope.hidden`
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Hidden {
    /// A mail of their own for each: safe whatever the provider does with Bcc.
    Separate,
    /// A `Bcc:` line: for operators who have checked that the provider strips it.
    Bcc,
}

/// The edits don't fit the header block they are applied to: the stored message is damaged.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("header edits do not fit the stored header block")]
pub struct EditError;

/// The header block with all edits made.
///
/// # Errors
/// When an edit reaches beyond the block or behind the edit before it.
pub fn apply_edits<'a>(
    head: &[u8],
    edits: impl IntoIterator<Item = &'a Edit>,
) -> Result<Vec<u8>, EditError> {
    let mut edited = Vec::with_capacity(head.len() + 256);
    let mut done = 0;
    for edit in edits {
        let kept = head.get(done..edit.start).ok_or(EditError)?;
        if edit.end < edit.start || edit.end > head.len() {
            return Err(EditError);
        }
        edited.extend_from_slice(kept);
        edited.extend_from_slice(edit.text.as_bytes());
        done = edit.end;
    }
    edited.extend_from_slice(&head[done..]);
    Ok(edited)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(start: usize, end: usize, text: &str) -> Edit {
        Edit {
            start,
            end,
            text: text.to_owned(),
        }
    }

    #[test]
    fn edits_replace_insert_and_delete_in_order() {
        let edits = [edit(0, 0, "A"), edit(1, 2, ""), edit(3, 4, "XYZ")];
        assert_eq!(apply_edits(b"0123456", &edits), Ok(b"A02XYZ456".to_vec()));
    }

    #[test]
    fn edits_that_do_not_fit_are_refused() {
        for edits in [
            vec![edit(3, 9, "")],
            vec![edit(2, 1, "")],
            vec![edit(3, 4, ""), edit(2, 3, "")],
            vec![edit(9, 9, "")],
        ] {
            assert_eq!(apply_edits(b"0123", &edits), Err(EditError), "{edits:?}");
        }
    }
}
