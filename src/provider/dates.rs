//! Dates as the API writes them: several ways, depending on the call (provider-api 13).

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use crate::clock::Timestamp;

/// Reads any of them: RFC 3339; `2026-01-01 00:00:00+00:00`; without an offset, or a date alone, which mean UTC;
/// with fractions; seconds since 1970. `None` for anything else.
pub fn read_date(text: &str) -> Option<Timestamp> {
    let text = text.trim();
    let of = |moment: jiff::Timestamp| Some(Timestamp(moment.as_millisecond()));
    if let Ok(moment) = text.parse::<jiff::Timestamp>() {
        return of(moment);
    }
    if let Ok(moment) = text.parse::<DateTime>() {
        return of(moment.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    if let Ok(day) = text.parse::<Date>() {
        return of(day.to_zoned(TimeZone::UTC).ok()?.timestamp());
    }
    for format in ["%Y-%m-%d %H:%M:%S %z", "%Y-%m-%d %H:%M:%S%z"] {
        if let Ok(moment) =
            jiff::fmt::strtime::parse(format, text).and_then(|time| time.to_timestamp())
        {
            return of(moment);
        }
    }
    let seconds: i64 = text.parse().ok()?;
    Some(Timestamp(seconds.checked_mul(1000)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_writing_a_date_is_read() {
        for (text, read) in [
            ("2026-11-12T07:44:58Z", "2026-11-12T07:44:58.000Z"),
            (
                "2026-11-12T07:44:58.828376+00:00",
                "2026-11-12T07:44:58.828Z",
            ),
            ("2026-11-12 07:44:58+00:00", "2026-11-12T07:44:58.000Z"),
            ("2026-11-12 07:44:58 +1300", "2026-11-11T18:44:58.000Z"),
            ("2026-11-12 07:44:58", "2026-11-12T07:44:58.000Z"),
            ("2026-11-12", "2026-11-12T00:00:00.000Z"),
            ("1762933498", "2025-11-12T07:44:58.000Z"),
        ] {
            assert_eq!(
                read_date(text).map(|at| at.to_string()).as_deref(),
                Some(read),
                "{text}"
            );
        }
        for text in ["", "yesterday", "2026-13-01", "99999999999999999999"] {
            assert_eq!(read_date(text), None, "{text}");
        }
    }
}
