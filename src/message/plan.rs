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

use crate::mail::{Dispatch, Edit, Hidden, Mailbox, Mismatch, Recipients, Shared};

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

/// How a message is sent.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// What all copies have in common.
    pub shared: Shared,
    /// The copies; never empty.
    pub dispatches: Vec<Dispatch>,
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
) -> Result<Plan, PlanError> {
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
    let draft = Draft::new(view, &named);
    let mut dispatches = draft.visible();
    match settings.hidden {
        Hidden::Separate => {
            dispatches.extend(named.hidden.iter().map(|hidden| draft.separate(hidden)));
        }
        Hidden::Bcc => draft.add_bcc(&mut dispatches),
    }
    let readdressed = dispatches.iter().any(|dispatch| dispatch.readdressed);
    let shared = Shared {
        edits: everywhere(view, base),
        renamed: if readdressed {
            renamed(view)
        } else {
            Vec::new()
        },
        mended: Vec::new(),
    };
    Ok(Plan { shared, dispatches })
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

/// Writes what is each copy's own.
struct Draft<'a> {
    named: &'a Named,
    /// Where new To and Cc lines go.
    place: usize,
    /// The end of the header block.
    end: usize,
}

impl<'a> Draft<'a> {
    fn new(view: &HeaderView<'_>, named: &'a Named) -> Self {
        let old = ["To", "Cc"].into_iter().flat_map(|name| view.named(name));
        let end = view.len();
        Self {
            named,
            place: old.map(|field| field.span.start).min().unwrap_or(end),
            end,
        }
    }

    /// The dispatches for those whom the header names.
    fn visible(&self) -> Vec<Dispatch> {
        let named = self.named;
        if named.faithful {
            let recipients: Vec<Mailbox> = named.visible().cloned().collect();
            if recipients.is_empty() {
                return Vec::new();
            }
            return vec![Dispatch {
                recipients,
                edits: Vec::new(),
                readdressed: false,
            }];
        }
        let to = named.to.iter().map(|entry| ("To", entry));
        let lines: Vec<(&str, &Entry)> = to
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
                let recipients = chunk.iter().map(|(_, entry)| entry.mailbox.clone());
                self.readdressed(recipients.collect(), line("To") + &line("Cc"))
            })
            .collect()
    }

    /// A copy that reaches and shows nobody but `hidden`.
    fn separate(&self, hidden: &Mailbox) -> Dispatch {
        let line = address_line("To", &[hidden.as_str()]);
        self.readdressed(vec![hidden.clone()], line)
    }

    /// Adds the hidden recipients as `Bcc:` to the visible copy, and further copies where needed.
    fn add_bcc(&self, dispatches: &mut Vec<Dispatch>) {
        let chunks = self.named.hidden.chunks(RECIPIENTS_PER_FIELD_MAX);
        for (index, chunk) in chunks.enumerate() {
            let texts: Vec<&str> = chunk.iter().map(Mailbox::as_str).collect();
            let bcc = address_line("Bcc", &texts);
            match dispatches.last_mut() {
                Some(visible) if index == 0 => {
                    visible.recipients.extend_from_slice(chunk);
                    visible.edits.push(insertion(self.end, bcc));
                }
                _ => {
                    let lines = "To: undisclosed-recipients:;\r\n".to_owned() + &bcc;
                    dispatches.push(self.readdressed(chunk.to_vec(), lines));
                }
            }
        }
    }

    /// A copy with `lines` where To stood.
    fn readdressed(&self, recipients: Vec<Mailbox>, lines: String) -> Dispatch {
        Dispatch {
            recipients,
            edits: vec![insertion(self.place, lines)],
            readdressed: true,
        }
    }
}

/// The edits of every copy: no Bcc, nothing that some mail software takes recipients from, and `base`.
fn everywhere(view: &HeaderView<'_>, base: &[Edit]) -> Vec<Edit> {
    let deleted = ["Bcc", "Resent-Bcc"]
        .into_iter()
        .flat_map(|name| view.named(name));
    let deleted = deleted.map(|field| Edit {
        start: field.span.start,
        end: field.span.end,
        text: String::new(),
    });
    let mut edits: Vec<Edit> = deleted
        .chain(prefixed(view, ["Resent-To", "Resent-Cc", "Apparently-To"]))
        .chain(base.iter().cloned())
        .collect();
    edits.sort_by_key(|edit| edit.start);
    edits
}

/// Keeps the old To and Cc under other names.
fn renamed(view: &HeaderView<'_>) -> Vec<Edit> {
    let mut edits: Vec<Edit> = prefixed(view, ["To", "Cc"]).collect();
    edits.sort_by_key(|edit| edit.start);
    edits
}

fn prefixed<'v, const N: usize>(
    view: &'v HeaderView<'_>,
    names: [&'static str; N],
) -> impl Iterator<Item = Edit> + 'v {
    let fields = names.into_iter().flat_map(move |name| view.named(name));
    fields.map(|field| insertion(field.span.start, ORIGINAL.to_owned()))
}

pub(super) fn insertion(at: usize, text: String) -> Edit {
    Edit {
        start: at,
        end: at,
        text,
    }
}

/// One address a line, so that no line grows over the 998 octets of RFC 5322 §2.1.1.
pub(super) fn address_line(name: &str, texts: &[&str]) -> String {
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

/// The provider takes at most 100 addresses in each of To, Cc and Bcc (provider-api 5).
const RECIPIENTS_PER_FIELD_MAX: usize = 100;

#[cfg(test)]
mod tests {
    use super::super::sender::override_edits;
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
        let planned = plan(&view, &recipients(envelope), &[], settings).expect("a plan");
        let dispatches = planned.dispatches.iter();
        dispatches
            .map(|dispatch| {
                let to: Vec<&str> = dispatch.recipients.iter().map(Mailbox::as_str).collect();
                let edited =
                    apply_edits(head.as_bytes(), planned.shared.edits_of(dispatch)).expect("edits");
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
        let planned = plan(&view, &recipients(&many.join(" ")), &[], REWRITE).expect("a plan");
        let counts: Vec<usize> = planned
            .dispatches
            .iter()
            .map(|d| d.recipients.len())
            .collect();
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

    #[test]
    fn what_all_copies_need_is_planned_once() {
        let many: Vec<String> = (0..1000).map(|n| format!("r{n}@b.c")).collect();
        let head = format!(
            "{}To: x@b.c\r\n{}",
            "Sender: s@b.c\r\n".repeat(30),
            "Bcc: y@b.c\r\n".repeat(29)
        );
        let view = HeaderView::new(head.as_bytes());
        let base = override_edits(&view, &"a@b.c".parse().expect("an address"));
        for hidden in [Hidden::Separate, Hidden::Bcc] {
            let settings = PlanSettings { hidden, ..REWRITE };
            let planned =
                plan(&view, &recipients(&many.join(" ")), &base, settings).expect("a plan");
            assert!(
                planned
                    .dispatches
                    .iter()
                    .all(|dispatch| dispatch.edits.len() <= 2)
            );
            let octets: u64 = planned.dispatches.iter().map(Dispatch::octets).sum();
            assert!(octets + planned.shared.octets() < 150_000, "{octets}");
        }
    }
}
