//! The argument of MAIL and RCPT: an address in whatever brackets the client found fit.
//!
//! The strict form is `<local@domain>`. The sloppy form also takes no brackets, doubled brackets,
//! a display name, quotes around the address and a source route, as long as exactly one address
//! can be meant. Whatever the form, the result is a parsed [`Mailbox`], and policy sees only that.
//!
//! RFC 5321 §4.1.2, §4.1.1.11 (parameters), appendix C (source routes)

use crate::mail::{Mailbox, MailboxError};

/// One `KEY` or `KEY=VALUE` behind a path.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Parameter<'a> {
    /// The keyword as written.
    pub keyword: &'a str,
    /// What follows `=`.
    pub value: Option<&'a str>,
}

/// Reads what follows `FROM:` or `TO:`. The address is `None` for `<>`.
///
/// # Errors
/// What is wrong with the address, as [`Mailbox::parse`] says it.
pub fn parse_path(
    argument: &str,
    sloppy: bool,
) -> Result<(Option<Mailbox>, Vec<Parameter<'_>>), MailboxError> {
    let argument = argument.trim_start_matches([' ', '\t']);
    let (path, rest) = split(argument, sloppy)?;
    let parameters = rest
        .split([' ', '\t'])
        .filter(|word| !word.is_empty())
        .map(parameter)
        .collect::<Result<_, _>>()?;
    // qmail names its own double bounces so.
    if path.is_empty() || path == "#@[]" {
        return Ok((None, parameters));
    }
    Mailbox::parse(path).map(|mailbox| (Some(mailbox), parameters))
}

/// RFC 5321 §4.1.2: a keyword is letters, digits and hyphens. Anything else may be an address.
fn parameter(word: &str) -> Result<Parameter<'_>, MailboxError> {
    let (keyword, value) = match word.split_once('=') {
        Some((keyword, value)) => (keyword, Some(value)),
        None => (word, None),
    };
    let is_keyword = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    if keyword.bytes().all(is_keyword) && !keyword.is_empty() {
        Ok(Parameter { keyword, value })
    } else {
        Err(MailboxError::Syntax)
    }
}

/// Splits into the bare address and what stands behind its brackets.
fn split(argument: &str, sloppy: bool) -> Result<(&str, &str), MailboxError> {
    let Some((open, close)) = brackets(argument) else {
        // Without brackets the address ends at the first space.
        let end = argument.find([' ', '\t']).unwrap_or(argument.len());
        let (path, rest) = argument.split_at(end);
        return if sloppy && !path.is_empty() && !path.contains(['<', '>']) {
            Ok((unquoted(path), rest))
        } else {
            Err(MailboxError::Syntax)
        };
    };
    let path = &argument[open + 1..close];
    let before = &argument[..open];
    let rest = &argument[close + 1..];
    let behind = rest.trim_start_matches('>');
    let tidy = before.is_empty() && (behind.len() == rest.len());
    if !tidy && (!sloppy || names_an_address(before) || path.is_empty()) {
        return Err(MailboxError::Syntax);
    }
    if !behind.is_empty() && !behind.starts_with([' ', '\t']) {
        return Err(MailboxError::Syntax);
    }
    let path = without_route(path);
    Ok((if sloppy { unquoted(path) } else { path }, behind))
}

/// The innermost pair of angle brackets outside quotes.
fn brackets(argument: &str) -> Option<(usize, usize)> {
    let mut quoted = false;
    let mut escaped = false;
    let mut open = None;
    for (index, character) in argument.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            '<' if !quoted => open = Some(index),
            '>' if !quoted => return open.map(|open| (open, index)),
            _ => {}
        }
    }
    None
}

/// Whether there is an `@` outside double quotes.
fn names_an_address(text: &str) -> bool {
    text.split('"').step_by(2).any(|part| part.contains('@'))
}

/// Drops `@relay,@relay:` as RFC 5321 appendix C asks for.
fn without_route(path: &str) -> &str {
    match path
        .strip_prefix('@')
        .and_then(|route| route.split_once(':'))
    {
        Some((_, mailbox)) => mailbox,
        None => path,
    }
}

/// Drops single quotes around the whole address; double quotes belong to a local part.
fn unquoted(path: &str) -> &str {
    let path = path.trim_matches([' ', '\t']);
    path.strip_prefix('\'')
        .and_then(|inner| inner.strip_suffix('\''))
        .unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(argument: &str, sloppy: bool) -> Result<String, MailboxError> {
        parse_path(argument, sloppy).map(|(mailbox, parameters)| {
            let mailbox = mailbox.map_or("<>".to_owned(), |mailbox| mailbox.to_string());
            let words: Vec<String> = parameters
                .iter()
                .map(|parameter| match parameter.value {
                    Some(value) => format!(" {}={value}", parameter.keyword),
                    None => format!(" {}", parameter.keyword),
                })
                .collect();
            mailbox + &words.concat()
        })
    }

    #[test]
    fn every_habit_of_devices_is_read_as_the_one_address_it_means() {
        for (argument, meaning) in [
            ("<a@b>", "a@b"),
            (" <a@b>", "a@b"),
            ("<>", "<>"),
            ("<> SIZE=1", "<> SIZE=1"),
            ("<#@[]>", "<>"),
            ("<a@b> SIZE=1459 AUTH=<>", "a@b SIZE=1459 AUTH=<>"),
            ("<a@b>  BODY=8BITMIME  X", "a@b BODY=8BITMIME X"),
            ("a@b", "a@b"),
            ("a@b SIZE=10", "a@b SIZE=10"),
            ("<<a@b>>", "a@b"),
            ("<User Name <u@d>>", "u@d"),
            ("\"Bob\" <u@d>", "u@d"),
            ("\"Bob <x@y>\" <u@d>", "u@d"),
            ("<'u@d'>", "u@d"),
            ("'u@d'", "u@d"),
            ("< u@d >", "u@d"),
            ("<@relay.test,@b.test:u@d>", "u@d"),
            ("<\"a b\"@d>", "\"a b\"@d"),
            ("<\"a>b\"@d>", "\"a>b\"@d"),
        ] {
            assert_eq!(read(argument, true).as_deref(), Ok(meaning), "{argument}");
        }
    }

    #[test]
    fn what_may_mean_two_addresses_means_none() {
        for argument in [
            "<a@b <c@d>>",
            "<a@b> <c@d>x",
            "a@b <c@d>",
            "<a@b>c",
            "<a@b",
            "",
            "a>@b",
        ] {
            assert!(
                read(argument, true).is_err(),
                "{argument}: {:?}",
                read(argument, true)
            );
        }
    }

    #[test]
    fn the_strict_form_wants_one_pair_of_brackets() {
        assert_eq!(read(" <a@b> SIZE=1", false).as_deref(), Ok("a@b SIZE=1"));
        for argument in ["a@b", "<<a@b>>", "\"Bob\" <u@d>", "<'u@d'"] {
            assert!(read(argument, false).is_err(), "{argument}");
        }
    }
}
