//! The calendar: seconds since 1970 to RFC 3339 and back. By hand, since it is all that a crate for
//! dates would be needed for.

const DAY: i64 = 86_400;

/// A date and a time of day in UTC.
pub(super) struct Civil {
    pub(super) year: i64,
    pub(super) month: i64,
    pub(super) day: i64,
    pub(super) hour: i64,
    pub(super) minute: i64,
    pub(super) second: i64,
}

/// Takes seconds from 1970 on.
///
/// A year is counted from March, so that the leap day is its last: then the month follows from the
/// day by one formula, and 400 years have as many days as any other 400.
pub(super) fn civil_from_unix(seconds: i64) -> Civil {
    let (days, of_day) = (seconds / DAY, seconds % DAY);
    let since_march_0 = days + DAYS_TO_1970;
    let (era, of_era) = (since_march_0 / DAYS_PER_ERA, since_march_0 % DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    Civil { year, month, day, hour, minute, second }
}

/// From March 1 of the year 0 to January 1, 1970.
const DAYS_TO_1970: i64 = 719_468;
const DAYS_PER_ERA: i64 = 146_097;

/// The reverse; days since 1970. The date must exist.
fn days_from_date(year: i64, month: i64, day: i64) -> i64 {
    let year_from_march = year - i64::from(month <= 2);
    let (era, year_of_era) = (year_from_march.div_euclid(400), year_from_march.rem_euclid(400));
    let month_from_march = (month + 9) % 12;
    let of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let of_era = 365 * year_of_era + year_of_era / 4 - year_of_era / 100 + of_year;
    era * DAYS_PER_ERA + of_era - DAYS_TO_1970
}

fn days_in_month(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Parses an instant by RFC 3339 into seconds since 1970. Fractions of a second are cut.
///
/// A leap second becomes the second before it. It is taken only at the end of a day in UTC.
pub(super) fn unix_from_rfc3339(text: &str) -> Option<i64> {
    let (date_and_time, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let separators = [4, 7, 10, 13, 16].map(|at| date_and_time[at]);
    if !matches!(separators, [b'-', b'-', b'T' | b't', b':', b':']) {
        return None;
    }
    let number = |from: usize, to: usize| number_of(&date_and_time[from..to]);
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let date_exists = (1..=12).contains(&month) && (1..=days_in_month(year, month)).contains(&day);
    if !date_exists || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let offset = offset_of(without_fraction(rest)?)?;
    let days = days_from_date(year, month, day);
    let unix = days * DAY + hour * 3600 + minute * 60 + second.min(59) - offset;
    let is_leap_second = second == 60;
    (!is_leap_second || unix.rem_euclid(DAY) == DAY - 1).then_some(unix)
}

fn without_fraction(rest: &[u8]) -> Option<&[u8]> {
    let Some(fraction) = rest.strip_prefix(b".") else {
        return Some(rest);
    };
    let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
    (digits > 0).then(|| &fraction[digits..])
}

/// The offset from UTC, in seconds.
fn offset_of(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match zone {
        b"Z" | b"z" => return Some(0),
        [sign, h1, h2, b':', m1, m2] => (sign, number_of(&[*h1, *h2])?, number_of(&[*m1, *m2])?),
        _ => return None,
    };
    let offset = hours * 3600 + minutes * 60;
    match sign {
        _ if hours > 23 || minutes > 59 => None,
        b'+' => Some(offset),
        b'-' => Some(-offset),
        _ => None,
    }
}

fn number_of(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i64::from(digit - b'0'))
    })
}
