//! Other people's texts, made fit to be shown: in a log, on a terminal, in a table.

use std::borrow::Cow;

/// Whether a character shows as itself: it steers no terminal, breaks no line, turns no direction of writing and hides
/// nowhere.
pub fn is_printable(character: char) -> bool {
    let hidden = matches!(
        character,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    );
    !(hidden || character.is_control())
}

/// The text on one line, a space in the place of each character that does not show as itself.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_printable) {
        return Cow::Borrowed(text);
    }
    let shown = |character| {
        if is_printable(character) {
            character
        } else {
            ' '
        }
    };
    Cow::Owned(text.chars().map(shown).collect())
}

/// So much of a text of somebody else's, on one line.
pub fn shortened(text: &str, letters: usize) -> String {
    let short: String = text.chars().take(letters).collect();
    printable(&short).trim().to_owned()
}

/// A name that somebody else gave to a thing of theirs: we compare it and show it, and never look into it.
pub fn opaque_name(text: &str) -> String {
    let kept = text
        .chars()
        .filter(|character| (' '..='~').contains(character));
    let kept: String = kept.take(NAME_LETTERS_MAX).collect();
    kept.trim().to_owned()
}

/// A text exactly as it was sent, with what does not show as itself escaped, and not too much of it.
pub fn escaped(text: &str) -> String {
    let mut shown = String::new();
    let mut letters = text.chars();
    for letter in letters.by_ref().take(ESCAPED_LETTERS_MAX) {
        if is_printable(letter) && letter != '\\' {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_default());
        }
    }
    if letters.next().is_some() {
        shown.push('…');
    }
    shown
}

/// The provider's names have up to 64 (provider-api 8).
const NAME_LETTERS_MAX: usize = 128;
const ESCAPED_LETTERS_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    const NASTY: &str = "a\u{1b}[31m\u{9b}2J\r\nb\u{202e}c\u{200b}d\u{2028}e\u{feff}";

    #[test]
    fn nothing_that_is_shown_steers_a_terminal() {
        assert_eq!(printable(NASTY), "a [31m 2J  b c d e ");
        assert_eq!(printable("grüße, 你好"), "grüße, 你好");
        assert_eq!(opaque_name(NASTY), "a[31m2Jbcde");
        assert_eq!(
            opaque_name("1u0SwL-B9zBpi9ffUq-JAB2"),
            "1u0SwL-B9zBpi9ffUq-JAB2"
        );
        assert_eq!(opaque_name(&"x".repeat(5_000_000)).len(), 128);
        assert_eq!(shortened(&"x\n".repeat(500), 10), "x x x x x");
        assert_eq!(escaped("ricoh\u{1b}\\2\r\n"), "ricoh\\u{1b}\\\\2\\r\\n");
        assert_eq!(escaped(&"x".repeat(81)), format!("{}…", "x".repeat(80)));
    }
}
