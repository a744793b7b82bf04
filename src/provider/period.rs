//! Periods of rate limits, as the API writes them: `1 hour`, `2 days`, `0:30:00`, `4 months 5:00:00`.
//!
//! provider-api 9

use std::time::Duration;

/// The period that a text means; `None` where it means none (`0:00:00`, `unlimited`) or can't be read.
///
/// A month counts 30 days and a year 365: the API doesn't say which months it means.
pub fn read_period(text: &str) -> Option<Duration> {
    let mut seconds: u64 = 0;
    let mut words = text.split_whitespace();
    while let Some(word) = words.next() {
        let part = if word.contains(':') {
            clock(word)?
        } else {
            let (count, unit) = match word.find(|letter: char| !letter.is_ascii_digit()) {
                Some(end) => word.split_at(end),
                None => (word, words.next()?),
            };
            count
                .parse::<u64>()
                .ok()?
                .checked_mul(unit_seconds(unit)?)?
        };
        seconds = seconds.checked_add(part)?;
    }
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

/// Hours, minutes and seconds.
fn clock(word: &str) -> Option<u64> {
    let parts: Vec<u64> = word
        .split(':')
        .map(|part| part.parse().ok())
        .collect::<Option<_>>()?;
    match parts[..] {
        [hours, minutes, seconds] => hours
            .checked_mul(3600)?
            .checked_add(minutes.checked_mul(60)?)?
            .checked_add(seconds),
        _ => None,
    }
}

fn unit_seconds(unit: &str) -> Option<u64> {
    let unit = unit.trim_end_matches(',').to_ascii_lowercase();
    match unit.strip_suffix('s').unwrap_or(&unit) {
        "second" | "sec" => Some(1),
        "minute" | "min" => Some(60),
        "hour" => Some(3600),
        "day" => Some(86_400),
        "week" => Some(7 * 86_400),
        "month" | "mon" => Some(30 * 86_400),
        "year" => Some(365 * 86_400),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_a_period_is_read() {
        for (text, seconds) in [
            ("1 hour", 3600),
            ("2 days", 172_800),
            ("0:30:00", 1800),
            ("4 months 5:00:00", 4 * 30 * 86_400 + 5 * 3600),
            ("1 day, 0:00:10", 86_410),
            ("90 seconds", 90),
            ("1hour", 3600),
            ("1 Week", 604_800),
        ] {
            assert_eq!(
                read_period(text),
                Some(Duration::from_secs(seconds)),
                "{text}"
            );
        }
        for none in [
            "",
            "0:00:00",
            "unlimited",
            "hour",
            "1 moment",
            "1:2",
            "-1 hour",
            "99999999999999999999 hours",
            "18446744073709551615 years",
        ] {
            assert_eq!(read_period(none), None, "{none}");
        }
    }
}
