//! Numbers as text, digit for digit as Python writes them.

/// The most digits that a format may ask for behind the point.
pub(super) const MAX_PRECISION: usize = 500;

/// How a floating point number is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Notation {
    /// `1.50`
    Fixed,
    /// `1.50e+00`
    Exponent,
    /// The shorter of both, without zeros at the end.
    General,
    /// The same, but always recognisable as a floating point number.
    GeneralWithPoint,
}

/// A number that is not negative. With `alternate`, the point and zeros at the end stay.
pub(super) fn float(number: f64, notation: Notation, precision: usize, alternate: bool) -> String {
    match notation {
        Notation::Fixed => {
            let text = format!("{number:.precision$}");
            if alternate && precision == 0 { text + "." } else { text }
        }
        Notation::Exponent => {
            let (mantissa, exponent) = split(number, precision);
            let point = if alternate && precision == 0 { "." } else { "" };
            format!("{mantissa}{point}{}", exponent_text(exponent))
        }
        Notation::General | Notation::GeneralWithPoint => {
            let digits = precision.max(1);
            let (mantissa, exponent) = split(number, digits - 1);
            let with_point = notation == Notation::GeneralWithPoint;
            let largest = digits as i32 - i32::from(with_point);
            if exponent < -4 || exponent >= largest {
                let mantissa = if alternate { &mantissa } else { without_zeros(&mantissa) };
                return format!("{mantissa}{}", exponent_text(exponent));
            }
            let behind = usize::try_from(digits as i32 - 1 - exponent).unwrap_or(0);
            let text = format!("{number:.behind$}");
            let text = match (alternate, text.contains('.')) {
                (true, true) => text,
                (true, false) => text + ".",
                (false, _) => without_zeros(&text).to_owned(),
            };
            if with_point && !text.contains('.') { text + ".0" } else { text }
        }
    }
}

/// The digits before and after the point, and the power of ten.
fn split(number: f64, precision: usize) -> (String, i32) {
    let text = format!("{number:.precision$e}");
    match text.split_once('e') {
        Some((mantissa, exponent)) => (mantissa.to_owned(), exponent.parse().unwrap_or(0)),
        None => (text, 0),
    }
}

fn exponent_text(exponent: i32) -> String {
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("e{sign}{:02}", exponent.unsigned_abs())
}

fn without_zeros(text: &str) -> &str {
    if !text.contains('.') {
        return text;
    }
    text.trim_end_matches('0').trim_end_matches('.')
}

/// Puts a separator between groups of digits, and zeros before them up to a width.
pub(super) fn group(digits: &str, separator: char, every: usize, width: usize) -> String {
    // Groups of four are for other bases, where `e` is a digit.
    let end = if every == 4 { None } else { digits.find(['.', 'e', 'E', '%']) };
    let (whole, rest) = digits.split_at(end.unwrap_or(digits.len()));
    let wanted = width.saturating_sub(rest.len());
    let mut out = Vec::new();
    let mut count = 0;
    let mut symbols = whole.chars().rev();
    loop {
        let symbol = match symbols.next() {
            Some(symbol) => symbol,
            None if out.len() < wanted => '0',
            None => break,
        };
        if count > 0 && count % every == 0 {
            out.push(separator);
        }
        out.push(symbol);
        count += 1;
    }
    out.iter().rev().collect::<String>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_notations_of_python() {
        use Notation::*;
        assert_eq!(float(1234.5, General, 6, false), "1234.5");
        assert_eq!(float(1234567.0, General, 6, false), "1.23457e+06");
        assert_eq!(float(0.00001, General, 6, false), "1e-05");
        assert_eq!(float(1.0, GeneralWithPoint, 3, false), "1.0");
        assert_eq!(float(123.0, GeneralWithPoint, 3, false), "1.23e+02");
        assert_eq!(float(2.5, Fixed, 0, false), "2");
        assert_eq!(float(2.5, Exponent, 1, false), "2.5e+00");
    }

    #[test]
    fn groups_count_from_the_point() {
        assert_eq!(group("1234567.25", ',', 3, 0), "1,234,567.25");
        assert_eq!(group("12", ',', 3, 6), "00,012");
        assert_eq!(group("12", ',', 3, 4), "0,012", "a separator never comes first");
        assert_eq!(group("123", '_', 4, 0), "123");
    }
}
