//! What plain words mean: YAML 1.1, as PyYAML's safe loader reads it.

/// A plain word.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Nothing,
    Flag(bool),
    Int(i64),
    Float(f64),
    Text,
}

/// Tells what a plain word is.
pub(super) fn scalar(word: &str) -> Scalar {
    match word {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Nothing,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Flag(true);
        }
        "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Flag(false);
        }
        _ => {}
    }
    int(word).map(Scalar::Int).or_else(|| float(word).map(Scalar::Float)).unwrap_or(Scalar::Text)
}

fn int(word: &str) -> Option<i64> {
    let (sign, digits) = signed(word);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let digits = digits.replace('_', "");
    let number = if let Some(digits) = digits.strip_prefix("0b") {
        i64::from_str_radix(digits, 2)
    } else if let Some(digits) = digits.strip_prefix("0x") {
        i64::from_str_radix(digits, 16)
    } else if digits.len() > 1 && digits.starts_with('0') {
        i64::from_str_radix(&digits, 8)
    } else {
        digits.parse()
    };
    number.ok().map(|number| sign * number)
}

/// A dot is what makes a number one with a fraction; exponents have a sign.
fn float(word: &str) -> Option<f64> {
    let (sign, digits) = signed(word);
    let (whole, fraction) = digits.split_once('.')?;
    if !whole.bytes().all(|b| b.is_ascii_digit() || b == b'_') || fraction.contains('.') {
        return None;
    }
    let (fraction, exponent) = match fraction.split_once(['e', 'E']) {
        Some((fraction, exponent)) if exponent.starts_with(['+', '-']) => (fraction, exponent),
        Some(_) => return None,
        None => (fraction, "0"),
    };
    let is_number = !whole.is_empty() || !fraction.is_empty();
    let plain = format!("{whole}.{fraction}e{exponent}").replace('_', "");
    plain.parse::<f64>().ok().filter(|_| is_number).map(|number| sign as f64 * number)
}

fn signed(word: &str) -> (i64, &str) {
    match word.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, word.strip_prefix('+').unwrap_or(word)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_pyyaml_reads_them() {
        for word in ["", "~", "null"] {
            assert_eq!(scalar(word), Scalar::Nothing, "{word}");
        }
        assert_eq!((scalar("yes"), scalar("Off")), (Scalar::Flag(true), Scalar::Flag(false)));
        for (word, number) in [
            ("0", 0),
            ("8_388_608", 8_388_608),
            ("-5", -5),
            ("+5", 5),
            ("010", 8),
            ("0x10", 16),
            ("0b11", 3),
        ] {
            assert_eq!(scalar(word), Scalar::Int(number), "{word}");
        }
        for (word, number) in
            [("0.2", 0.2), ("-1.5", -1.5), (".5", 0.5), ("1.", 1.0), ("1.0e+3", 1e3)]
        {
            assert_eq!(scalar(word), Scalar::Float(number), "{word}");
        }
        for word in
            ["y", "n", "1e3", "1.0e3", ".", "-", "08", "4G", "1.2.3", "99999999999999999999"]
        {
            assert_eq!(scalar(word), Scalar::Text, "{word}");
        }
    }
}
