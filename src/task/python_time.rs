//! Times as Python prints them, since the server parses them with Python.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// `str()` of a datetime in UTC: `2026-05-01 10:00:00.123456`. Always with six digits: without
/// any, or with a zone, the server's database refuses it and fails the build.
pub fn datetime(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%Y-%m-%d %H:%M:%S.%6f").to_string()
}

/// `str()` of a timedelta: `0:01:02.345678`, `1 day, 2:00:00`.
pub fn timedelta(time: Duration) -> String {
    let seconds = time.as_secs();
    let days = match seconds / 86400 {
        0 => String::new(),
        1 => "1 day, ".to_owned(),
        days => format!("{days} days, "),
    };
    let fraction = match time.subsec_micros() {
        0 => String::new(),
        micros => format!(".{micros:06}"),
    };
    let (hours, minutes) = (seconds / 3600 % 24, seconds / 60 % 60);
    format!("{days}{hours}:{minutes:02}:{:02}{fraction}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_python_has_them() {
        let time = |text: &str| datetime(text.parse().unwrap());
        assert_eq!(time("2026-05-01T10:00:00.123456789Z"), "2026-05-01 10:00:00.123456");
        assert_eq!(time("2026-05-01T10:00:00+02:00"), "2026-05-01 08:00:00.000000");
        assert_eq!(time("2026-12-31T23:59:59.000007Z"), "2026-12-31 23:59:59.000007");
        let delta = |micros| timedelta(Duration::from_micros(micros));
        assert_eq!(delta(62_345_678), "0:01:02.345678");
        assert_eq!((delta(0), delta(3_600_000_000)), ("0:00:00".into(), "1:00:00".into()));
        assert_eq!(delta(86_400_000_001), "1 day, 0:00:00.000001");
        assert_eq!(delta(200_000_000_000), "2 days, 7:33:20");
    }
}
