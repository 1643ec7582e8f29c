//! What stands behind the colon in `{value:>8.2f}`, and what it makes of a value.
//!
//! Source: "Format Specification Mini-Language" in Python's library reference.

use super::Machine;
use super::heap::Item;
use super::number::{self, MAX_PRECISION, Notation};
use super::ops;
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::literal;
use crate::mock_config::source::Span;

/// The most characters that a format may fill up to.
const MAX_WIDTH: usize = 10_000;

/// A format, read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub fill: char,
    /// `<`, `>`, `^` or `=`.
    pub align: Option<char>,
    /// A zero before the width: numbers fill up between sign and digits.
    pub zero: bool,
    /// `+`, `-` or a space.
    pub sign: char,
    pub alternate: bool,
    pub width: usize,
    /// `,` or `_`.
    pub separator: Option<char>,
    pub precision: Option<usize>,
    pub kind: Option<char>,
}

impl Default for Spec {
    fn default() -> Self {
        Spec {
            fill: ' ',
            align: None,
            zero: false,
            sign: '-',
            alternate: false,
            width: 0,
            separator: None,
            precision: None,
            kind: None,
        }
    }
}

impl Spec {
    fn read(text: &str) -> Option<Self> {
        const ALIGN: [char; 4] = ['<', '>', '^', '='];
        let mut spec = Spec::default();
        let symbols: Vec<char> = text.chars().collect();
        let mut rest = symbols.as_slice();
        let mut filled = false;
        match rest {
            [fill, align, after @ ..] if ALIGN.contains(align) => {
                (spec.fill, spec.align, rest) = (*fill, Some(*align), after);
                filled = true;
            }
            [align, after @ ..] if ALIGN.contains(align) => {
                (spec.align, rest) = (Some(*align), after);
            }
            _ => {}
        }
        if let [sign @ ('+' | '-' | ' '), after @ ..] = rest {
            (spec.sign, rest) = (*sign, after);
        }
        if let ['#', after @ ..] = rest {
            (spec.alternate, rest) = (true, after);
        }
        if let ['0', after @ ..] = rest
            && !filled
        {
            (spec.fill, spec.zero, rest) = ('0', true, after);
        }
        spec.width = digits(&mut rest)?.unwrap_or(0);
        if let [separator @ (',' | '_'), after @ ..] = rest {
            (spec.separator, rest) = (Some(*separator), after);
        }
        if let ['.', after @ ..] = rest {
            rest = after;
            spec.precision = Some(digits(&mut rest)??);
        }
        match rest {
            [] => {}
            [kind] => spec.kind = Some(*kind),
            _ => return None,
        }
        Some(spec)
    }
}

/// Reads a number; nothing at all when it is much too large.
#[expect(clippy::option_option, reason = "no number is fine, a huge one is not")]
fn digits(rest: &mut &[char]) -> Option<Option<usize>> {
    let many = rest.iter().take_while(|symbol| symbol.is_ascii_digit()).count();
    let (number, after) = rest.split_at(many);
    *rest = after;
    if many == 0 {
        return Some(None);
    }
    number.iter().collect::<String>().parse().ok().map(Some)
}

impl Machine<'_> {
    /// `format(item, spec)`.
    pub(super) fn formatted(&mut self, item: &Item, spec: &str, span: Span) -> Outcome<String> {
        if spec.is_empty() {
            return self.text(item, span);
        }
        let Some(read) = Spec::read(spec) else { return Err(wrong(spec, item, span)) };
        if read.width > MAX_WIDTH || read.precision.is_some_and(|many| many > MAX_PRECISION) {
            return Err(too_wide(span));
        }
        let text = match (item, read.kind) {
            (Item::Str(text), None | Some('s')) => {
                let numeric = read.sign != '-'
                    || read.alternate
                    || read.separator.is_some()
                    || read.align == Some('=');
                if numeric {
                    return Err(wrong(spec, item, span));
                }
                let shown: String = match read.precision {
                    Some(many) => text.chars().take(many).collect(),
                    None => text.to_string(),
                };
                pad(&shown, &read, '<')
            }
            (
                Item::Int(_) | Item::Bool(_),
                None | Some('d' | 'b' | 'o' | 'x' | 'X' | 'c' | 'n'),
            ) => {
                let number = ops::integer(item).unwrap_or(0);
                integer(number, &read).ok_or_else(|| wrong(spec, item, span))?
            }
            (
                Item::Int(_) | Item::Bool(_) | Item::Float(_),
                None | Some('e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%' | 'n'),
            ) => float(ops::number(item).unwrap_or(0.0), &read),
            _ => return Err(wrong(spec, item, span)),
        };
        self.heap.budget.spend(text.len(), span)?;
        Ok(text)
    }
}

/// A whole number; None when the format does not fit one.
pub(super) fn integer(number: i64, spec: &Spec) -> Option<String> {
    if spec.precision.is_some() {
        return None;
    }
    let size = number.unsigned_abs();
    let (prefix, digits) = match spec.kind {
        Some('b') => ("0b", format!("{size:b}")),
        Some('o') => ("0o", format!("{size:o}")),
        Some('x') => ("0x", format!("{size:x}")),
        Some('X') => ("0X", format!("{size:X}")),
        Some('c') => {
            if spec.sign != '-' || spec.separator.is_some() || spec.alternate {
                return None;
            }
            let symbol = char::from_u32(u32::try_from(number).ok()?)?;
            return Some(pad(&symbol.to_string(), spec, '<'));
        }
        _ => ("", size.to_string()),
    };
    let every = match (spec.separator, spec.kind) {
        (Some(','), Some('b' | 'o' | 'x' | 'X')) | (Some(_), Some('n')) => return None,
        (_, Some('b' | 'o' | 'x' | 'X')) => 4,
        _ => 3,
    };
    let prefix = if spec.alternate { prefix } else { "" };
    Some(signed(number < 0, prefix, &digits, spec, every))
}

/// A floating point number.
pub(super) fn float(number: f64, spec: &Spec) -> String {
    let size = number.abs();
    let precision = spec.precision.unwrap_or(6);
    let digits = match spec.kind {
        Some('e' | 'E') => number::float(size, Notation::Exponent, precision, spec.alternate),
        Some('f' | 'F') => number::float(size, Notation::Fixed, precision, spec.alternate),
        Some('%') => number::float(size * 100.0, Notation::Fixed, precision, spec.alternate) + "%",
        None if spec.precision.is_none() => literal::float(size),
        None => number::float(size, Notation::GeneralWithPoint, precision, spec.alternate),
        _ => number::float(size, Notation::General, precision, spec.alternate),
    };
    let upper = matches!(spec.kind, Some('E' | 'G'));
    let digits = if upper { digits.to_uppercase() } else { digits };
    signed(number.is_sign_negative(), "", &digits, spec, 3)
}

fn signed(negative: bool, prefix: &str, digits: &str, spec: &Spec, every: usize) -> String {
    let sign = match (negative, spec.sign) {
        (true, _) => "-",
        (false, '+') => "+",
        (false, ' ') => " ",
        (false, _) => "",
    };
    let before = format!("{sign}{prefix}");
    let inner = spec.align.map_or(spec.zero, |align| align == '=');
    let room = spec.width.saturating_sub(before.len());
    let digits = match spec.separator {
        Some(separator) => {
            let width = if inner && spec.fill == '0' { room } else { 0 };
            number::group(digits, separator, every, width)
        }
        None => digits.to_owned(),
    };
    if inner {
        let fill: String =
            std::iter::repeat_n(spec.fill, room.saturating_sub(digits.len())).collect();
        return format!("{before}{fill}{digits}");
    }
    pad(&format!("{before}{digits}"), spec, '>')
}

/// Fills up to the width; a value without an alignment has its own.
pub(super) fn pad(text: &str, spec: &Spec, own: char) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    let (left, right) = match spec.align.unwrap_or(own) {
        '<' => (0, missing),
        '^' => (missing / 2, missing - missing / 2),
        _ => (missing, 0),
    };
    let fill = |many| std::iter::repeat_n(spec.fill, many).collect::<String>();
    format!("{}{text}{}", fill(left), fill(right))
}

pub(super) fn too_wide(span: Span) -> Fault {
    let message =
        format!("the format asks for more than {MAX_WIDTH} characters or {MAX_PRECISION} digits");
    Fault::new(ErrorKind::Limit, span, message)
}

fn wrong(spec: &str, item: &Item, span: Span) -> Fault {
    let message = format!("the format `{spec}` does not fit {}", item.type_name());
    Fault::new(ErrorKind::Value, span, message)
        .hint("for example `>8` aligns, `.2f` has two digits behind the point, `x` is hexadecimal")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(number: i64, spec: &str) -> String {
        integer(number, &Spec::read(spec).unwrap()).unwrap()
    }

    #[test]
    fn whole_numbers() {
        let seen = [int(255, "#06x"), int(-5, "^7"), int(1234567, ","), int(7, "*>4"), int(3, "+")];
        assert_eq!(seen, ["0x00ff", "  -5   ", "1,234,567", "***7", "+3"]);
    }

    #[test]
    fn what_is_no_format() {
        assert_eq!(Spec::read("d8"), None);
        assert_eq!(Spec::read(".f"), None);
        assert_eq!(Spec::read("99999999999999999999999"), None);
    }
}
