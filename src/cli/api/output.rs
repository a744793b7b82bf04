//! Answers for people: tables, lists of members, small bar charts; and secrets masked.

use std::fmt::Write as _;

use serde_json::{Map, Value};

/// Hides secrets, wherever they are: members that hold one, whole API keys in any text, and the credentials in
/// an address. Of an API key the part stays that names it.
pub(super) fn mask(data: &mut Value) {
    match data {
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Object(members) => {
            for (name, value) in members {
                if is_secret(name) && !value.is_null() && *value != Value::String(String::new()) {
                    *value = Value::String(HIDDEN.to_owned());
                } else {
                    mask(value);
                }
            }
        }
        Value::String(text) => *text = without_secrets(text),
        _ => {}
    }
}

fn is_secret(name: &str) -> bool {
    matches!(name, "email_password" | "password" | "auth_header_value")
}

/// A text without whole keys and without credentials in addresses.
pub(super) fn without_secrets(text: &str) -> String {
    let mut shown = text.to_owned();
    let mut from = 0;
    while let Some(start) = shown[from..].find("api-").map(|start| from + start) {
        let rest = &shown[start + 4..];
        let letters = rest.bytes().take_while(u8::is_ascii_alphanumeric).count();
        if letters >= KEY_LETTERS {
            shown.replace_range(start + NAME_OF_KEY..start + 4 + letters, HIDDEN);
            from = start + NAME_OF_KEY + HIDDEN.len();
        } else {
            from = start + 4;
        }
    }
    let mut parts = shown.split("://");
    let mut masked = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find([' ', '"', '\'', ',', ')']).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        let (authority, path) = match address.find('/') {
            Some(slash) => address.split_at(slash),
            None => (address, ""),
        };
        masked.push_str("://");
        match authority.rsplit_once('@') {
            Some((_, host)) => masked.push_str(&format!("{HIDDEN}@{host}")),
            None => masked.push_str(authority),
        }
        match path.split_once('?') {
            // A secret in the query is what the vendor suggests for webhooks.
            Some((path, _)) => masked.push_str(&format!("{path}?{HIDDEN}")),
            None => masked.push_str(path),
        }
        masked.push_str(rest);
    }
    masked
}

/// The secrets of a request, which an error must not repeat.
pub(super) fn secrets_of(request: &Value) -> Vec<String> {
    match request {
        Value::Array(items) => items.iter().flat_map(secrets_of).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| match value {
                Value::String(secret) if is_secret(name) => vec![secret.clone()],
                value if is_secret(name) => {
                    // Of another type, it may be quoted all the same.
                    let texts = value.as_array().into_iter().flatten();
                    let texts = texts.filter_map(Value::as_str).map(str::to_owned);
                    texts.chain([value.to_string()]).collect()
                }
                value => secrets_of(value),
            })
            .collect(),
        _ => Vec::new(),
    }
}

/// Adds the list of another page; returns how many items it had.
pub(super) fn join(whole: &mut Value, page: Value) -> usize {
    let added = progress(&page).0;
    match (whole, page) {
        (Value::Array(all), Value::Array(more)) => all.extend(more),
        (Value::Object(all), Value::Object(more)) => {
            for (name, value) in more {
                match (all.get_mut(&name), value) {
                    (Some(Value::Array(all)), Value::Array(more)) => all.extend(more),
                    (_, value) => drop(all.insert(name, value)),
                }
            }
        }
        (whole, page) => *whole = page,
    }
    added
}

/// How many items there are, and how many there will be.
pub(super) fn progress(data: &Value) -> (usize, Option<usize>) {
    let count = |value: &Value| value.as_array().map_or(0, Vec::len);
    let seen = match data {
        Value::Object(members) => members.values().map(count).max().unwrap_or(0),
        other => count(other),
    };
    let totals = [
        "total_events",
        "total_results",
        "total_count",
        "email_count",
        "count",
    ];
    let total = totals.iter().find_map(|name| data[*name].as_u64());
    (seen, total.and_then(|total| usize::try_from(total).ok()))
}

/// A table where there is a list, else a line a member.
/// Lines fit into `width` columns, where that is known.
pub(super) fn readable(data: &Value, chart: bool, width: Option<usize>) -> String {
    let mut text = String::new();
    match data {
        Value::Null => text.push_str("done\n"),
        Value::Array(items) => table(&mut text, items, chart, width),
        Value::Object(members) => {
            members_of(&mut text, members, chart);
            for (name, value) in members {
                if let Value::Array(items) = value
                    && items.iter().any(Value::is_object)
                {
                    if !text.is_empty() {
                        let _ = writeln!(text, "\n{}:", printable(name));
                    }
                    table(&mut text, items, chart, width);
                }
            }
        }
        other => {
            let _ = writeln!(text, "{}", cell(other));
        }
    }
    text
}

fn members_of(text: &mut String, members: &Map<String, Value>, chart: bool) {
    let is_table = |value: &Value| {
        let items = value.as_array().map_or(&[][..], Vec::as_slice);
        items.iter().any(Value::is_object)
    };
    let ends_here = |name: &str, value: &Value| {
        name == "continue_token" && (value.is_null() || *value == Value::String(String::new()))
    };
    let shown: Vec<(String, &Value)> = members
        .iter()
        .filter(|(name, value)| !is_table(value) && !ends_here(name, value))
        .map(|(name, value)| (printable(name), value))
        .collect();
    let width = shown.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    // What is used is measured by what may be used; other counts by the largest of them.
    let whole = |name: &str| ["cycle_max", "cycle_remaining", "count"].contains(&name);
    let most = |name: &str| match name {
        "cycle_used" => members
            .get("cycle_max")
            .and_then(Value::as_f64)
            .unwrap_or(0.0),
        _ => {
            let others = shown
                .iter()
                .filter(|(name, _)| !whole(name) && name != "cycle_used");
            others
                .filter_map(|(_, value)| value.as_f64())
                .fold(0.0, f64::max)
        }
    };
    for (name, value) in &shown {
        let words = match value {
            Value::Array(items) if items.is_empty() => "(none)".to_owned(),
            value => cell(value),
        };
        let bar = match value.as_f64() {
            Some(count) if chart && !whole(name) => bar(count, most(name)),
            _ => String::new(),
        };
        let line = format!("{name:width$}  {words:12}{bar}");
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn bar(count: f64, most: f64) -> String {
    if count <= 0.0 || most <= 0.0 {
        return String::new();
    }
    #[allow(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the width of the chart"
    )]
    let length = (count / most * BAR_WIDTH).ceil() as usize;
    "█".repeat(length)
}

/// Columns of what names a row first; objects inside become columns of their own. A row of too many columns is a
/// paragraph instead.
fn table(text: &mut String, items: &[Value], chart: bool, screen: Option<usize>) {
    let mut rows: Vec<Vec<(String, String)>> = items.iter().map(flat).collect();
    if chart {
        let used = |item: &Value| item["used"].as_f64().unwrap_or(0.0);
        let most = items.iter().map(used).fold(0.0, f64::max);
        for (row, item) in rows.iter_mut().zip(items) {
            if let Some((_, value)) = row.iter_mut().find(|(name, _)| name == "used") {
                value.push_str(&format!(" {}", bar(used(item), most)));
            }
        }
    }
    let mut columns: Vec<&str> = Vec::new();
    for (name, _) in rows.iter().flatten() {
        if !columns.contains(&name.as_str()) {
            columns.push(name);
        }
    }
    // What is empty in every row is no news.
    columns.retain(|column| {
        let mut cells = rows.iter().flatten();
        cells.any(|(name, value)| name == column && !value.is_empty())
    });
    columns.sort_by_key(|column| {
        let place = FIRST_COLUMNS.iter().position(|first| first == column);
        place.unwrap_or(FIRST_COLUMNS.len())
    });
    let value = |row: &[(String, String)], column: &str| -> String {
        let found = row.iter().find(|(name, _)| name == column);
        found.map(|(_, value)| value.clone()).unwrap_or_default()
    };
    let narrowest = columns.len() * (CELL_MIN + GAP.len());
    if columns.len() > COLUMNS_MAX || screen.is_some_and(|screen| narrowest > screen) {
        let width = columns.iter().map(|column| column.len()).max().unwrap_or(0);
        for (number, row) in rows.iter().enumerate() {
            if number > 0 {
                text.push('\n');
            }
            for column in &columns {
                let value = value(row, column);
                if !value.is_empty() {
                    let _ = writeln!(text, "{column:width$}  {value}");
                }
            }
        }
        return;
    }
    let short = |whole: String, width: usize| -> String {
        if whole.chars().count() <= width {
            return whole;
        }
        whole.chars().take(width - 1).chain(['…']).collect()
    };
    let mut widths: Vec<usize> = columns
        .iter()
        .map(|column| {
            let cells = rows.iter().map(|row| value(row, column).chars().count());
            let widest = cells.chain([column.len()]).max().unwrap_or(0);
            widest.min(CELL_MAX)
        })
        .collect();
    // The widest column gives way first.
    while let Some(screen) = screen
        && widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1) > screen
        && let Some(widest) = widths.iter_mut().max()
        && *widest > CELL_MIN
    {
        *widest -= 1;
    }
    let mut line = |cells: Vec<String>| {
        let padded: Vec<String> = cells
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{:width$}", short(cell.clone(), *width)))
            .collect();
        let _ = writeln!(text, "{}", padded.join(GAP).trim_end());
    };
    line(columns.iter().map(|column| column.to_uppercase()).collect());
    for row in &rows {
        line(columns.iter().map(|column| value(row, column)).collect());
    }
}

/// The members of a row; those of objects inside it by their own names, those of lists of objects numbered.
fn flat(item: &Value) -> Vec<(String, String)> {
    let Value::Object(members) = item else {
        return vec![("value".to_owned(), cell(item))];
    };
    let mut row = Vec::new();
    for (name, value) in members {
        let name = printable(name);
        match value {
            Value::Object(inner) => {
                row.extend(
                    inner
                        .iter()
                        .map(|(inner, value)| (printable(inner), cell(value))),
                );
            }
            Value::Array(items) if items.iter().any(Value::is_object) => {
                for (number, item) in (1..).zip(items) {
                    let inner = flat(item).into_iter();
                    row.extend(
                        inner.map(|(inner, value)| (format!("{name}.{number}.{inner}"), value)),
                    );
                }
            }
            value => row.push((name, cell(value))),
        }
    }
    row
}

/// One line of somebody else's.
pub(in super::super) fn printable(text: &str) -> String {
    crate::mail::printable(text).into_owned()
}

/// One line.
fn cell(value: &Value) -> String {
    let text = match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    };
    printable(&text)
}

const HIDDEN: &str = "********";
/// A key is `api-` and so many letters and digits; its first characters are its name (provider-api 1).
const KEY_LETTERS: usize = 32;
const NAME_OF_KEY: usize = 16;
/// What names a row.
const FIRST_COLUMNS: &[&str] = &[
    "date",
    "id",
    "username",
    "name",
    "email_address",
    "ip_address",
    "fulldomain",
    "url",
    "api_key",
    "event",
    "status",
];
const COLUMNS_MAX: usize = 9;
const CELL_MAX: usize = 44;
const CELL_MIN: usize = 6;
const GAP: &str = "  ";
const BAR_WIDTH: f64 = 40.0;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_is_a_table_and_members_are_lines() {
        let data = json!({
            "mode": "whitelist",
            "results": [
                {"username": "printer1", "status": "allowed", "note": ""},
                {"username": "ups", "status": "blocked\u{1b}[31m", "domain": {"name": "a"}},
            ],
        });
        let shown = readable(&data, false, None);
        let expected = "mode  whitelist\n\nresults:\n\
                        USERNAME  STATUS        NAME\n\
                        printer1  allowed\n\
                        ups       blocked [31m  a\n";
        // The order of columns is that of the members, which JSON does not promise.
        let sorted = |text: &str| {
            let mut words: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
            words.sort();
            words
        };
        assert_eq!(sorted(&shown), sorted(expected), "{shown}");
    }

    #[test]
    fn a_table_fits_into_the_terminal_or_becomes_paragraphs() {
        let data =
            json!([{"username": "printer1", "description": "second floor, left, by the lift"}]);
        for (width, longest) in [(None, 41), (Some(30), 30), (Some(10), 44)] {
            let shown = readable(&data, false, width);
            let widest = shown.lines().map(|line| line.chars().count()).max();
            assert_eq!(widest, Some(longest), "{width:?}\n{shown}");
        }
    }

    #[test]
    fn secrets_are_masked_wherever_they_are() {
        let mut data = json!([{"api_key": "api-0123456789ABCDEF0123456789ABCDEF",
            "user": {"email_password": 12345678, "username": "a", "password": "secret12"},
            "url": "https://me:secret12@gw.example/hook?token=secret12",
            "error": "bad http://a/ and https://u:secret12@h/x"}]);
        mask(&mut data);
        let text = data.to_string();
        assert!(
            !text.contains("secret12") && !text.contains("CDEF0123"),
            "{text}"
        );
        assert!(text.contains("api-0123456789AB********"), "{text}");
    }

    #[test]
    fn pages_are_joined_into_one_list() {
        let mut whole = Value::Null;
        assert_eq!(
            join(&mut whole, json!({"events": [1, 2], "total_events": 3})),
            2
        );
        assert_eq!(
            join(&mut whole, json!({"events": [3], "total_events": 3})),
            1
        );
        assert_eq!(whole["events"], json!([1, 2, 3]));
        assert_eq!(progress(&whole), (3, Some(3)));
    }
}
