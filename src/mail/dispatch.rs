//! One API call's worth of a message: who it reaches, and how its header block differs.
//!
//! A dispatch does not hold a copy of the header block. It holds the edits that turn the stored
//! block into the one to send, so that a message for a thousand hidden recipients costs a thousand
//! small lists and not a thousand headers.

use serde::{Deserialize, Serialize};

use super::Mailbox;

/// The unit of attempt, outcome and retry: the provider answers per mail, not per recipient.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Dispatch {
    /// Exactly the addresses that the edited header block names as recipients.
    pub recipients: Vec<Mailbox>,
    /// Changes to the stored header block, ascending and not overlapping; empty means byte-exact.
    pub edits: Vec<Edit>,
}

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
pub fn apply_edits(head: &[u8], edits: &[Edit]) -> Result<Vec<u8>, EditError> {
    let grown: usize = edits.iter().map(|edit| edit.text.len()).sum();
    let mut edited = Vec::with_capacity(head.len() + grown);
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
