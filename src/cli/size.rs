//! Numbers with units on the command line.

/// Bytes: a number, optionally with K, M, G or T (powers of 1024), optionally followed by `B` or
/// `iB`.
pub(super) fn parse(text: &str) -> Result<u64, String> {
    let bytes = parse_or_zero(text)?;
    if bytes > 0 { Ok(bytes) } else { Err(OUT_OF_RANGE.to_owned()) }
}

const OUT_OF_RANGE: &str = "the size must be between 1 byte and 16 EiB";

/// The same, where nothing is a size as well.
pub(super) fn parse_or_zero(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim_end_matches("iB").trim_end_matches('B') {
        "" => 0,
        "K" | "k" => 10,
        "M" | "m" => 20,
        "G" | "g" => 30,
        "T" | "t" => 40,
        _ => return Err(format!("{unit:?} is no unit; use K, M, G or T")),
    };
    let number: u64 = number.parse().map_err(|_| "a number is expected, like 512M".to_owned())?;
    number.checked_mul(1 << shift).ok_or_else(|| OUT_OF_RANGE.to_owned())
}

/// A positive number of processors.
pub(super) fn parse_cpus(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(cpus) if cpus.is_finite() && (0.01..=100_000.0).contains(&cpus) => Ok(cpus),
        _ => Err("a number of processors is expected, like 2 or 0.5".to_owned()),
    }
}

/// A time in seconds, or with m, h or d.
pub(super) fn parse_age(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return Err(format!("{unit:?} is no unit; use s, m, h or d")),
    };
    let number: Option<u64> = number.parse().ok();
    number
        .and_then(|number| number.checked_mul(seconds))
        .ok_or_else(|| "a time is expected, like 12h or 30d".to_owned())
}

/// Seconds, with a fraction if wanted; gives milliseconds. 0 is no limit, as in mock.
pub(super) fn parse_timeout(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds.is_finite() && (0.0..=1e9).contains(&seconds) => {
            Ok((seconds * 1000.0).round() as u64)
        }
        _ => Err("a number of seconds is expected, like 90 or 0.5".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(parse("512"), Ok(512));
        assert_eq!(parse("2G"), Ok(2 << 30));
        assert_eq!(parse("10KiB"), Ok(10 << 10));
        assert_eq!(parse("3MB"), Ok(3 << 20));
        for bad in ["", "G", "1X", "-1", "0", "99999999999T", "1.5G"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn seconds_and_processors() {
        assert_eq!(parse_timeout("0.5"), Ok(500));
        assert_eq!((parse_age("90"), parse_age("2d")), (Ok(90), Ok(172_800)));
        assert!(parse_age("d").is_err() && parse_age("1w").is_err());
        assert!(parse_timeout("-1").is_err() && parse_timeout("nan").is_err());
        assert_eq!(parse_cpus("1.5"), Ok(1.5));
        assert!(parse_cpus("0").is_err() && parse_cpus("inf").is_err());
    }
}
