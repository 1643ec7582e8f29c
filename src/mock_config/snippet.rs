//! Showing a place: the line of source with a caret below.

use super::source::Location;

/// Lines longer than this are cut around the place; a config may hold a file in one line.
const WIDEST: usize = 100;

/// Renders a place the way compilers do.
pub fn render(place: &Location) -> String {
    let (text, column, width) = window(place);
    let number = place.line.to_string();
    let margin = " ".repeat(number.len());
    let pad = " ".repeat(column);
    let carets = "^".repeat(width);
    format!("{margin}--> {place}\n{margin} |\n{number} | {text}\n{margin} | {pad}{carets}")
}

/// The part of the line to show, and where in it the caret goes (from 0) and how wide it is.
fn window(place: &Location) -> (String, usize, usize) {
    let symbols: Vec<char> = place.text.chars().map(visible).collect();
    let column = (place.column - 1).min(symbols.len());
    let first = if symbols.len() <= WIDEST { 0 } else { column.saturating_sub(WIDEST / 2) };
    let last = symbols.len().min(first + WIDEST);
    let mut text: String = symbols[first..last].iter().collect();
    let mut column = column - first;
    let width = place.width.min((last - first).saturating_sub(column)).max(1);
    if first > 0 {
        text.insert_str(0, "… ");
        column += 2;
    }
    if last < symbols.len() {
        text.push_str(" …");
    }
    (text.trim_end().to_owned(), column, width)
}

/// A config is untrusted: its control characters must not reach the terminal, and every symbol
/// has to take one column for the caret to be right.
fn visible(symbol: char) -> char {
    match symbol {
        '\t' => ' ',
        _ if symbol.is_control() => '\u{fffd}',
        _ => symbol,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mock_config::source::Origin;

    fn place(text: &str, column: usize, width: usize) -> Location {
        let origin = Origin::BuiltIn("a.cfg".into());
        Location { origin, line: 12, column, text: text.into(), width }
    }

    #[test]
    fn the_caret_is_below_the_place() {
        let seen = render(&place("config_opts['x'] = foo", 20, 3));
        insta::assert_snapshot!(seen, @r"
          --> built-in:a.cfg:12:20
           |
        12 | config_opts['x'] = foo
           |                    ^^^
        ");
    }

    #[test]
    fn long_lines_are_cut_and_control_characters_hidden() {
        let text = format!("{}\u{1b}[31m{}", "a".repeat(300), "b".repeat(300));
        let seen = render(&place(&text, 301, 5));
        assert!(seen.lines().all(|line| line.chars().count() < WIDEST + 20), "{seen}");
        assert!(!seen.contains('\u{1b}'), "{seen}");
        assert!(seen.contains("^^^^^"), "{seen}");
    }
}
