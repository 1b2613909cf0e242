//! Times in words, always with the whole instant beside.

use std::time::Duration;

use app_tokens::Timestamp;
use maud::{Markup, html};
use time::OffsetDateTime;

const DAY: u64 = 24 * 60 * 60;

/// Writes a time that is over: "3 hours ago".
pub fn ago(at: Timestamp, now: Timestamp) -> Markup {
    with_instant(at, &ago_in_words(at, now))
}

/// Writes a time to come: "in 5 days".
pub fn ahead(at: Timestamp, now: Timestamp) -> Markup {
    with_instant(at, &ahead_in_words(at, now))
}

/// Writes the day: "26 November 2026".
pub fn day(at: Timestamp) -> Markup {
    with_instant(at, &day_in_words(at))
}

/// Writes the day in little room: "26 Nov 2026".
pub fn short_day(at: Timestamp) -> String {
    let at = OffsetDateTime::from(at);
    format!("{} {} {}", at.day(), &at.month().to_string()[..3], at.year())
}

/// Writes the months of a life: "Jan 2026 to Nov 2026", or only one.
pub fn months(from: Timestamp, to: Option<Timestamp>) -> Markup {
    let month = |at: Timestamp| {
        let date = OffsetDateTime::from(at);
        format!("{} {}", &date.month().to_string()[..3], date.year())
    };
    let to = to.filter(|to| month(*to) != month(from));
    html! {
        (with_instant(from, &month(from)))
        @if let Some(to) = to { " to " (with_instant(to, &month(to))) }
    }
}

/// Writes the day: "26 November 2026".
pub fn day_in_words(at: Timestamp) -> String {
    let at = OffsetDateTime::from(at);
    format!("{} {} {}", at.day(), at.month(), at.year())
}

/// Writes day and minute: "26 November 2026, 14:03 UTC".
pub fn instant_in_words(at: Timestamp) -> String {
    let time = OffsetDateTime::from(at);
    format!("{}, {:02}:{:02} UTC", day_in_words(at), time.hour(), time.minute())
}

/// Returns the day as a date field writes it: "2026-11-26".
pub fn iso_day(at: Timestamp) -> String {
    at.to_string().chars().take(10).collect()
}

/// Reads a day as a date field writes it, and returns its last second in UTC.
pub fn end_of_day(text: &str) -> Option<Timestamp> {
    let is_day = text.len() == 10;
    is_day.then(|| format!("{text}T23:59:59Z").parse().ok()).flatten()
}

fn with_instant(at: Timestamp, words: &str) -> Markup {
    html! { time datetime=(at) title=(instant_in_words(at)) { (words) } }
}

fn ago_in_words(at: Timestamp, now: Timestamp) -> String {
    let passed = now.since(at).as_secs();
    match passed {
        0..60 => "just now".into(),
        DAY..172_800 => "yesterday".into(),
        _ => format!("{} ago", length(passed)),
    }
}

fn ahead_in_words(at: Timestamp, now: Timestamp) -> String {
    let left = at.since(now).as_secs();
    match left {
        0 => "now".into(),
        1..60 => "in under a minute".into(),
        DAY..172_800 => "tomorrow".into(),
        // Rounded to the nearest day: a minute after it was made, 90 days are still 3 months.
        1_209_600.. => format!("in {}", length(left + DAY / 2)),
        _ => format!("in {}", length(left)),
    }
}

/// Writes a length of time in its greatest unit, rounded down.
fn length(seconds: u64) -> String {
    let (count, unit, article) = match seconds {
        0..3600 => (seconds / 60, "minute", "a"),
        3600..DAY => (seconds / 3600, "hour", "an"),
        DAY..1_209_600 => (seconds / DAY, "day", "a"),
        1_209_600..5_184_000 => (seconds / (7 * DAY), "week", "a"),
        5_184_000..31_536_000 => (seconds / (30 * DAY), "month", "a"),
        _ => (seconds / (365 * DAY), "year", "a"),
    };
    if count == 1 { format!("{article} {unit}") } else { format!("{count} {unit}s") }
}

/// Writes a length of time, for an error: "15 minutes".
pub fn in_words(length_of_time: Duration) -> String {
    // Rounded up, so that waiting this long is enough.
    match length_of_time.as_secs() + 59 {
        0..60 => "a minute".into(),
        seconds => length(seconds.max(60)),
    }
}

/// Writes a length of time in days if it is some days: "90 days".
pub fn in_days(length_of_time: Duration) -> String {
    match length_of_time.as_secs() / DAY {
        0 | 1 => in_words(length_of_time),
        days => format!("{days} days"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_its_greatest_unit() {
        let now: Timestamp = "2026-11-26T14:03:00Z".parse().unwrap();
        for (at, words) in [
            ("2026-11-26T14:02:30Z", "just now"),
            ("2026-11-26T14:01:59Z", "a minute ago"),
            ("2026-11-26T11:00:02Z", "3 hours ago"),
            ("2026-11-25T08:00:00Z", "yesterday"),
            ("2026-11-19T21:44:00Z", "6 days ago"),
            ("2026-11-01T10:00:00Z", "3 weeks ago"),
            ("2026-03-02T09:12:44Z", "8 months ago"),
            ("2025-11-01T00:00:00Z", "a year ago"),
            ("2027-01-01T00:00:00Z", "just now"),
        ] {
            assert_eq!(ago_in_words(at.parse().unwrap(), now), words, "{at}");
        }
        for (at, words) in [
            ("2026-11-26T14:03:30Z", "in under a minute"),
            ("2026-11-26T15:03:00Z", "in an hour"),
            ("2026-11-27T20:00:00Z", "tomorrow"),
            ("2026-12-01T18:30:00Z", "in 5 days"),
            ("2027-02-24T14:02:00Z", "in 3 months"),
            ("2027-11-26T14:02:00Z", "in a year"),
        ] {
            assert_eq!(ahead_in_words(at.parse().unwrap(), now), words, "{at}");
        }
        assert_eq!(instant_in_words(now), "26 November 2026, 14:03 UTC");
        assert_eq!((short_day(now).as_str(), iso_day(now).as_str()), ("26 Nov 2026", "2026-11-26"));
        assert_eq!(in_words(Duration::from_secs(90)), "2 minutes");
    }

    #[test]
    fn a_day_means_its_last_second_in_utc() {
        assert_eq!(end_of_day("2026-12-31").unwrap().to_string(), "2026-12-31T23:59:59Z");
        assert_eq!(end_of_day("2028-02-29").unwrap().to_string(), "2028-02-29T23:59:59Z");
        for bad in ["", "2027-02-29", "31.12.2026", "2026-12-31T00:00:00Z", "1960-01-01", "x"] {
            assert_eq!(end_of_day(bad), None, "{bad}");
        }
    }
}
