//! The fields of a canonical header block, by position.
//!
//! RFC 5322 §2.2

use std::ops::Range;

/// A view over the octets of a header block.
#[derive(Debug)]
pub struct HeaderView<'a> {
    head: &'a [u8],
    fields: Vec<Field>,
}

/// Where one field stands: its first line and all lines folded under it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Field {
    /// From the first octet of the name to behind the last line end.
    pub span: Range<usize>,
    /// The name.
    pub name: Range<usize>,
    /// What follows the colon, line ends included.
    pub value: Range<usize>,
}

impl<'a> HeaderView<'a> {
    /// Reads a canonical block (see [`super::HeadCollector`]).
    pub fn new(head: &'a [u8]) -> Self {
        let mut fields: Vec<Field> = Vec::new();
        let mut start = 0;
        while start < head.len() {
            let end = memchr::memmem::find(&head[start..], b"\r\n")
                .map_or(head.len(), |found| start + found + 2);
            let folded = b" \t".contains(&head[start]);
            match fields.last_mut() {
                Some(field) if folded => {
                    field.span.end = end;
                    field.value.end = end;
                }
                _ => {
                    let colon =
                        memchr::memchr(b':', &head[start..end]).map_or(end, |found| start + found);
                    fields.push(Field {
                        span: start..end,
                        name: start..colon,
                        value: (colon + 1).min(end)..end,
                    });
                }
            }
            start = end;
        }
        Self { head, fields }
    }

    /// All fields of this name, ignoring case.
    pub fn named<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'s Field> + 's {
        self.fields.iter().filter(move |field| {
            self.head[field.name.clone()].eq_ignore_ascii_case(name.as_bytes())
        })
    }

    /// Whether there is a field of this name.
    pub fn has(&self, name: &str) -> bool {
        self.named(name).next().is_some()
    }

    /// The octets behind the field's colon.
    pub fn value(&self, field: &Field) -> &'a [u8] {
        &self.head[field.value.clone()]
    }

    /// Octets of the whole block.
    pub fn len(&self) -> usize {
        self.head.len()
    }

    /// Whether there are no fields at all.
    pub fn is_empty(&self) -> bool {
        self.head.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_name_with_their_folded_lines() {
        let head = b"To: a@b,\r\n\tc@d\r\nSubject:x\r\nto:e@f\r\n";
        let view = HeaderView::new(head);
        let values: Vec<&[u8]> = view.named("TO").map(|field| view.value(field)).collect();
        assert_eq!(values, [&b" a@b,\r\n\tc@d\r\n"[..], b"e@f\r\n"]);
        assert!(view.has("subject") && !view.has("Cc"));
    }
}
