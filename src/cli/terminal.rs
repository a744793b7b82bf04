//! What a person sees: the only place that prints.
//!
//! Some words are other people's: on every line what would steer the terminal, break the line or turn the direction of
//! writing is shown as a space, and escaped in JSON.

#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "this is the one place"
)]

use std::fmt::Write as _;
use std::io::{ErrorKind, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use crate::mail::is_printable;

use super::failure::Failure;

/// Data, on standard output.
pub(super) fn say(text: &str) -> Result<(), Failure> {
    octets(clean(text).as_bytes())
}

/// Everything else, on standard error.
pub(super) fn note(text: &str) {
    eprint!("{}", clean(text));
    // Where nobody reads it, nothing is lost.
    drop(std::io::stderr().flush());
}

/// A line of numbers that takes the place of the one before; for eyes only.
pub(super) fn bar_line(text: &str) {
    eprint!("\r{text}");
    drop(std::io::stderr().flush());
}

/// Tells of a failure on standard error; returns the exit code of it.
pub(super) fn report(failure: &Failure) -> ExitCode {
    note(&format!("error: {}\n", failure.words));
    if !failure.hint.is_empty() {
        note(&format!("hint: {}\n", failure.hint));
    }
    ExitCode::from(failure.code)
}

/// Octets as they are: a mail, a script. Whoever reads may have left, as `head` does; anything else that goes wrong is
/// worth a word.
pub(super) fn octets(octets: &[u8]) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(octets).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(Failure::of(&error)),
        _ => Ok(()),
    }
}

/// JSON for people and programs.
pub(super) fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::of(&error))?;
    let mut shown = String::with_capacity(text.len() + 1);
    for letter in text.chars() {
        // Line breaks are between values only; in them they are escaped already.
        if letter == '\n' || is_printable(letter) {
            shown.push(letter);
            continue;
        }
        for unit in letter.encode_utf16(&mut [0; 2]) {
            let _ = write!(shown, "\\u{unit:04x}");
        }
    }
    shown.push('\n');
    octets(shown.as_bytes())
}

fn clean(text: &str) -> String {
    let shown = |letter: char| match letter {
        '\n' | '\t' => letter,
        letter if is_printable(letter) => letter,
        _ => ' ',
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_steers_the_terminal() {
        let nasty = "a\u{1b}[2J\u{9b}\u{202e}\rb\tc\n";
        assert_eq!(clean(nasty), "a [2J   b\tc\n");
    }
}
