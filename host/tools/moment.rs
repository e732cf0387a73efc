//! Dates for people, in UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// `2026-11-20` of a moment, in UTC.
pub fn date(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut days = since.as_secs() / 86_400;
    let leap = |y: u64| y.is_multiple_of(4) && (!y.is_multiple_of(100) || y.is_multiple_of(400));
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    format!("{year:04}-{:02}-{:02}", month + 1, days + 1)
}

/// `2026-11-20 09:37 UTC` of a moment.
pub fn minute(moment: SystemTime) -> String {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let minutes = since.as_secs() / 60;
    format!(
        "{} {:02}:{:02} UTC",
        date(moment),
        minutes / 60 % 24,
        minutes % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_know_leap_years() {
        let at = |days: u64| date(UNIX_EPOCH + Duration::from_secs(days * 86_400));
        assert_eq!(at(0), "1970-01-01");
        assert_eq!(at(59), "1970-03-01");
        assert_eq!(at(11_016), "2000-02-29");
        assert_eq!(at(20_777), "2026-11-20");
    }

    #[test]
    fn minutes_follow_the_date() {
        let moment = UNIX_EPOCH + Duration::from_secs(20_777 * 86_400 + 9 * 3600 + 37 * 60 + 59);
        assert_eq!(minute(moment), "2026-11-20 09:37 UTC");
    }
}
