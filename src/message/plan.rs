//! Who gets a message: turns envelope and headers into dispatches.
//!
//! The provider's `/email/mime` has no envelope; it reads recipients from To, Cc and perhaps Bcc,
//! and whether it strips Bcc is not documented. So every dispatch is one API call whose header
//! recipients, together, are exactly the envelope's. Where headers and envelope agree already,
//! nothing is changed at all.
//!
//! | case | dispatches |
//! | --- | --- |
//! | header and envelope agree | one, byte-exact |
//! | the header names more, or in doubtful syntax | To/Cc reduced, the originals kept as `X-Original-…` |
//! | the envelope names more | one each for the hidden ones (`separate`), or one `Bcc:` line (`bcc`) |
//! | over 100 recipients in a header | several of at most 100 |
//!
//! A `Bcc:` field is always removed and never decides anything; `Resent-To`, `Resent-Cc` and
//! `Apparently-To` are renamed because some mail software takes recipients from them.

use std::collections::HashSet;

use crate::mail::{Dispatch, Edit, Hidden, Mailbox, Mismatch, Recipients};

use super::addresses::{AddressList, Entry, read_addresses};
use super::fields::HeaderView;

/// What to do where headers and envelope differ.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PlanSettings {
    /// Rewrite the headers, or refuse the message.
    pub mismatch: Mismatch,
    /// How recipients get it that no header names.
    pub hidden: Hidden,
}

/// There is no plan for this message.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PlanError {
    /// Headers and envelope differ and the settings refuse that; these addresses only one of both
    /// names.
    #[error("header recipients differ from the envelope")]
    Differing(Vec<Mailbox>),
    /// Every copy would carry an edit for each of these fields.
    #[error("too many To, Cc or Bcc fields")]
    TooManyFields,
}

/// Plans the dispatches. `base` are edits that every copy needs, such as a replaced sender.
///
/// # Errors
/// With [`Mismatch::Refuse`] when headers and envelope name different addresses; and for a header
/// with more address fields than any mail program writes.
pub fn plan(
    view: &HeaderView<'_>,
    envelope: &Recipients,
    base: &[Edit],
    settings: PlanSettings,
) -> Result<Vec<Dispatch>, PlanError> {
    let fields: usize = ADDRESS_FIELDS
        .iter()
        .map(|name| view.named(name).count())
        .sum();
    if fields > ADDRESS_FIELDS_MAX {
        return Err(PlanError::TooManyFields);
    }
    let named = Named::read(view, envelope);
    if settings.mismatch == Mismatch::Refuse {
        let differing: Vec<Mailbox> = named.surplus.iter().chain(&named.hidden).cloned().collect();
        if !differing.is_empty() {
            return Err(PlanError::Differing(differing));
        }
    }
    let draft = Draft {
        view,
        named: &named,
        base,
    };
    let mut dispatches = draft.visible();
    match settings.hidden {
        Hidden::Separate => {
            dispatches.extend(named.hidden.iter().map(|hidden| draft.separate(hidden)));
        }
        Hidden::Bcc => draft.add_bcc(&mut dispatches),
    }
    Ok(dispatches)
}

/// What the header names, compared with the envelope.
struct Named {
    /// To ∩ envelope, each once.
    to: Vec<Entry>,
    /// Cc ∩ envelope, each once and none that To names.
    cc: Vec<Entry>,
    /// Envelope recipients that no header names.
    hidden: Vec<Mailbox>,
    /// Header recipients that the envelope does not name.
    surplus: Vec<Mailbox>,
    /// Whether To and Cc can be passed on as they are.
    faithful: bool,
}

impl Named {
    fn read(view: &HeaderView<'_>, envelope: &Recipients) -> Self {
        let wanted: HashSet<String> = envelope.as_slice().iter().map(Mailbox::key).collect();
        let mut seen = HashSet::new();
        let mut surplus = Vec::new();
        let mut faithful = !ADDRESS_FIELDS[3..].iter().any(|name| view.has(name));
        let mut read = |name: &str| {
            let mut kept = Vec::new();
            let mut count = 0;
            for (index, field) in view.named(name).enumerate() {
                let AddressList { entries, certain } = read_addresses(view.value(field));
                // A second field of the same name is read by some and ignored by others.
                faithful &= certain && index == 0;
                for entry in entries {
                    count += 1;
                    let first = seen.insert(entry.mailbox.key());
                    let meant = wanted.contains(&entry.mailbox.key());
                    faithful &= first && meant;
                    match (first, meant) {
                        (true, true) => kept.push(entry),
                        (true, false) => surplus.push(entry.mailbox),
                        (false, _) => {}
                    }
                }
            }
            faithful &= count <= RECIPIENTS_PER_FIELD_MAX;
            kept
        };
        let to = read("To");
        let cc = read("Cc");
        let hidden = envelope
            .as_slice()
            .iter()
            .filter(|mailbox| !seen.contains(&mailbox.key()))
            .cloned()
            .collect();
        Self {
            to,
            cc,
            hidden,
            surplus,
            faithful,
        }
    }

    fn visible(&self) -> impl Iterator<Item = &Mailbox> {
        self.to.iter().chain(&self.cc).map(|entry| &entry.mailbox)
    }
}

/// Writes dispatches.
struct Draft<'a> {
    view: &'a HeaderView<'a>,
    named: &'a Named,
    base: &'a [Edit],
}

impl Draft<'_> {
    /// The dispatches for those whom the header names.
    fn visible(&self) -> Vec<Dispatch> {
        let named = self.named;
        if named.faithful {
            let recipients: Vec<Mailbox> = named.visible().cloned().collect();
            if recipients.is_empty() {
                return Vec::new();
            }
            let edits = self.finished(self.without_bcc());
            return vec![Dispatch { recipients, edits }];
        }
        let lines: Vec<(&str, &Entry)> = named
            .to
            .iter()
            .map(|entry| ("To", entry))
            .chain(named.cc.iter().map(|entry| ("Cc", entry)))
            .collect();
        lines
            .chunks(RECIPIENTS_PER_FIELD_MAX)
            .map(|chunk| {
                let line = |name: &str| {
                    let texts: Vec<&str> = chunk
                        .iter()
                        .filter(|(field, _)| *field == name)
                        .map(|(_, entry)| entry.text.as_str())
                        .collect();
                    address_line(name, &texts)
                };
                Dispatch {
                    recipients: chunk
                        .iter()
                        .map(|(_, entry)| entry.mailbox.clone())
                        .collect(),
                    edits: self.finished(self.readdressed(&(line("To") + &line("Cc")))),
                }
            })
            .collect()
    }

    /// A copy that reaches and shows nobody but `hidden`.
    fn separate(&self, hidden: &Mailbox) -> Dispatch {
        Dispatch {
            recipients: vec![hidden.clone()],
            edits: self.finished(self.readdressed(&address_line("To", &[hidden.as_str()]))),
        }
    }

    /// Adds the hidden recipients as `Bcc:` to the visible copy, and further copies where needed.
    fn add_bcc(&self, dispatches: &mut Vec<Dispatch>) {
        for (index, chunk) in self
            .named
            .hidden
            .chunks(RECIPIENTS_PER_FIELD_MAX)
            .enumerate()
        {
            let texts: Vec<&str> = chunk.iter().map(Mailbox::as_str).collect();
            let bcc = address_line("Bcc", &texts);
            match dispatches.last_mut() {
                Some(visible) if index == 0 => {
                    visible.recipients.extend_from_slice(chunk);
                    let end = self.view.len();
                    visible.edits.push(insertion(end, bcc));
                }
                _ => {
                    let lines = "To: undisclosed-recipients:;\r\n".to_owned() + &bcc;
                    dispatches.push(Dispatch {
                        recipients: chunk.to_vec(),
                        edits: self.finished(self.readdressed(&lines)),
                    });
                }
            }
        }
    }

    fn without_bcc(&self) -> Vec<Edit> {
        let deleted = ["Bcc", "Resent-Bcc"]
            .into_iter()
            .flat_map(|name| self.view.named(name))
            .map(|field| Edit {
                start: field.span.start,
                end: field.span.end,
                text: String::new(),
            });
        let renamed = ["Resent-To", "Resent-Cc", "Apparently-To"]
            .into_iter()
            .flat_map(|name| self.view.named(name))
            .map(|field| insertion(field.span.start, ORIGINAL.to_owned()));
        deleted.chain(renamed).collect()
    }

    /// Puts `lines` where To stood; keeps the old To and Cc under other names.
    fn readdressed(&self, lines: &str) -> Vec<Edit> {
        let mut edits = self.without_bcc();
        let old: Vec<usize> = ["To", "Cc"]
            .into_iter()
            .flat_map(|name| self.view.named(name))
            .map(|field| field.span.start)
            .collect();
        let place = old.iter().min().copied().unwrap_or(self.view.len());
        edits.push(insertion(place, lines.to_owned()));
        edits.extend(
            old.into_iter()
                .map(|start| insertion(start, ORIGINAL.to_owned())),
        );
        edits
    }

    fn finished(&self, mut edits: Vec<Edit>) -> Vec<Edit> {
        edits.extend_from_slice(self.base);
        // Stable: new lines come before the name they push down.
        edits.sort_by_key(|edit| edit.start);
        edits
    }
}

pub(super) fn insertion(at: usize, text: String) -> Edit {
    Edit {
        start: at,
        end: at,
        text,
    }
}

/// One address a line, so that no line grows over the 998 octets of RFC 5322 §2.1.1.
fn address_line(name: &str, texts: &[&str]) -> String {
    if texts.is_empty() {
        return String::new();
    }
    format!("{name}: {}\r\n", texts.join(",\r\n\t"))
}

/// What a replaced field's old name is prefixed with.
pub(super) const ORIGINAL: &str = "X-Original-";

/// Every field that some mail software takes recipients from; behind the first three, in place of To.
const ADDRESS_FIELDS: [&str; 7] = [
    "To",
    "Cc",
    "Bcc",
    "Resent-To",
    "Resent-Cc",
    "Resent-Bcc",
    "Apparently-To",
];

/// RFC 5322 §3.6 allows one of each; a resent message may have been resent a few times.
const ADDRESS_FIELDS_MAX: usize = 30;

/// The provider takes at most 100 addresses in each of To, Cc and Bcc (NOTES section 5).
const RECIPIENTS_PER_FIELD_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mail::apply_edits;

    const REWRITE: PlanSettings = PlanSettings {
        mismatch: Mismatch::Rewrite,
        hidden: Hidden::Separate,
    };

    fn recipients(addresses: &str) -> Recipients {
        let parsed = addresses
            .split(' ')
            .map(|text| text.parse().expect("an address"));
        Recipients::new(parsed).expect("recipients")
    }

    /// Each dispatch as "recipients | header block".
    fn planned(head: &str, envelope: &str, settings: PlanSettings) -> Vec<String> {
        let view = HeaderView::new(head.as_bytes());
        plan(&view, &recipients(envelope), &[], settings)
            .expect("a plan")
            .iter()
            .map(|dispatch| {
                let to: Vec<&str> = dispatch.recipients.iter().map(Mailbox::as_str).collect();
                let edited = apply_edits(head.as_bytes(), &dispatch.edits).expect("edits");
                format!("{} | {}", to.join(" "), String::from_utf8_lossy(&edited))
            })
            .collect()
    }

    #[test]
    fn agreeing_headers_are_passed_on_byte_for_byte() {
        let head = "From:  x@y.z\r\nTO : a@b.c,\r\n\t\"B\" <B@b.c>\r\ncc:c@b.c\r\n";
        let head = head.replace("TO :", "TO:");
        let plans = planned(&head, "c@b.c A@b.c b@b.c", REWRITE);
        assert_eq!(plans, [format!("a@b.c B@b.c c@b.c | {head}")]);
    }

    #[test]
    fn surplus_header_recipients_are_neutralised_and_kept_for_reading() {
        assert_eq!(
            planned(
                "To: \"A\" <a@b.c>, s@b.c\r\nCc: t@b.c\r\nX: 1\r\n",
                "a@b.c",
                REWRITE
            ),
            [
                "a@b.c | To: \"A\" <a@b.c>\r\nX-Original-To: \"A\" <a@b.c>, s@b.c\r\n\
              X-Original-Cc: t@b.c\r\nX: 1\r\n"
            ]
        );
    }

    #[test]
    fn a_hidden_recipient_gets_a_copy_that_names_nobody_else() {
        assert_eq!(
            planned("To: a@b.c\r\nBcc: h@b.c, x@b.c\r\n", "a@b.c h@b.c", REWRITE),
            [
                "a@b.c | To: a@b.c\r\n",
                "h@b.c | To: h@b.c\r\nX-Original-To: a@b.c\r\n"
            ]
        );
    }

    #[test]
    fn hidden_recipients_can_share_a_bcc_line() {
        let settings = PlanSettings {
            hidden: Hidden::Bcc,
            ..REWRITE
        };
        assert_eq!(
            planned("To: a@b.c\r\nBcc: x@b.c\r\n", "a@b.c h@b.c i@b.c", settings),
            ["a@b.c h@b.c i@b.c | To: a@b.c\r\nBcc: h@b.c,\r\n\ti@b.c\r\n"]
        );
        assert_eq!(
            planned("Subject: x\r\n", "h@b.c", settings),
            ["h@b.c | Subject: x\r\nTo: undisclosed-recipients:;\r\nBcc: h@b.c\r\n"]
        );
    }

    #[test]
    fn headers_without_usable_recipients_are_rebuilt_from_the_envelope() {
        assert_eq!(
            planned("To: Undisclosed recipients:;\r\n", "a@b.c", REWRITE),
            ["a@b.c | To: a@b.c\r\nX-Original-To: Undisclosed recipients:;\r\n"]
        );
        let doubtful = "Cc: <A B <a@x.y, C D <c@y.y>,\r\n";
        for dispatch in planned(doubtful, "a@x.y c@y.y", REWRITE) {
            assert!(
                dispatch.contains(&format!("X-Original-{doubtful}")),
                "{dispatch}"
            );
        }
    }

    #[test]
    fn repeated_fields_duplicates_and_resent_fields_are_not_trusted() {
        assert_eq!(
            planned("To: a@b.c\r\nTo: b@b.c\r\n", "a@b.c b@b.c", REWRITE),
            [
                "a@b.c b@b.c | To: a@b.c,\r\n\tb@b.c\r\nX-Original-To: a@b.c\r\nX-Original-To: b@b.c\r\n"
            ]
        );
        assert_eq!(
            planned("To: a@b.c, A@b.c\r\n", "a@b.c", REWRITE),
            ["a@b.c | To: a@b.c\r\nX-Original-To: a@b.c, A@b.c\r\n"]
        );
        assert_eq!(
            planned(
                "Resent-To: e@b.c\r\nTo: a@b.c\r\nResent-Bcc: f@b.c\r\n",
                "a@b.c",
                REWRITE
            ),
            ["a@b.c | X-Original-Resent-To: e@b.c\r\nTo: a@b.c\r\nX-Original-To: a@b.c\r\n"]
        );
    }

    #[test]
    fn over_a_hundred_recipients_become_several_dispatches() {
        let many: Vec<String> = (0..250).map(|n| format!("r{n}@b.c")).collect();
        let head = format!("To: {}\r\n", many.join(",\r\n "));
        let view = HeaderView::new(head.as_bytes());
        let dispatches = plan(&view, &recipients(&many.join(" ")), &[], REWRITE).expect("a plan");
        let counts: Vec<usize> = dispatches.iter().map(|d| d.recipients.len()).collect();
        assert_eq!(counts, [100, 100, 50]);
    }

    #[test]
    fn a_header_made_of_address_fields_is_refused() {
        let head = "To:\r\n".repeat(50_000);
        let view = HeaderView::new(head.as_bytes());
        let planned = plan(&view, &recipients("a@b.c"), &[], REWRITE);
        assert_eq!(planned, Err(PlanError::TooManyFields));
    }

    #[test]
    fn a_mismatch_can_be_refused_by_name() {
        let settings = PlanSettings {
            mismatch: Mismatch::Refuse,
            ..REWRITE
        };
        let view = HeaderView::new(b"To: a@b.c, s@b.c\r\n");
        let error = plan(&view, &recipients("a@b.c h@b.c"), &[], settings).expect_err("refused");
        let differing = ["s@b.c", "h@b.c"].map(|text| text.parse().expect("an address"));
        assert_eq!(error, PlanError::Differing(differing.to_vec()));
        assert!(plan(&view, &recipients("a@b.c s@b.c"), &[], settings).is_ok());
    }
}
