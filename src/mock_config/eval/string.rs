//! The methods of strings.

use super::Machine;
use super::call::Call;
use super::heap::Item;
use super::list::clamp;
use crate::mock_config::error::Outcome;

/// What `split()` and `strip()` without arguments take away.
pub(super) fn is_space(symbol: char) -> bool {
    symbol.is_whitespace() || ('\x1c'..='\x1f').contains(&symbol)
}

impl Machine<'_> {
    pub(super) fn string_method(&mut self, text: &str, call: &Call) -> Outcome<Option<Item>> {
        self.heap.budget.work(text.len(), call.span)?;
        let name = call.name.as_str();
        let out = match name {
            "format" => self.format(text, call)?,
            "format_map" => {
                let [map] = call.exactly()?;
                self.format_map(text, &map, call)?
            }
            "join" => self.join(text, call)?,
            "replace" => self.replaced(text, call)?,
            "split" | "rsplit" | "splitlines" => return self.split(text, call).map(Some),
            "partition" | "rpartition" => return self.partition(text, call).map(Some),
            "strip" | "lstrip" | "rstrip" => {
                let [signs] = call.bind(["/"], 0)?;
                let signs = signs.filter(|signs| !matches!(signs, Item::None));
                let signs = signs.as_ref().map(|signs| call.text(signs)).transpose()?;
                self.heap
                    .budget
                    .work(text.len().saturating_mul(signs.map_or(1, str::len)), call.span)?;
                let goes = |symbol: char| match signs {
                    Some(signs) => signs.contains(symbol),
                    None => is_space(symbol),
                };
                match name {
                    "strip" => text.trim_matches(goes),
                    "lstrip" => text.trim_start_matches(goes),
                    _ => text.trim_end_matches(goes),
                }
                .to_owned()
            }
            "removeprefix" | "removesuffix" => {
                let [part] = call.exactly()?;
                let part = call.text(&part)?;
                let rest = if name == "removeprefix" {
                    text.strip_prefix(part)
                } else {
                    text.strip_suffix(part)
                };
                rest.unwrap_or(text).to_owned()
            }
            "lower" | "upper" | "casefold" | "capitalize" | "title" | "swapcase" => {
                call.exactly::<0>()?;
                cased(name, text)
            }
            "ljust" | "rjust" | "center" | "zfill" => self.padded(text, call)?,
            "expandtabs" => {
                let [size] = call.bind(["tabsize"], 0)?;
                let size = size.map_or(Ok(8), |size| call.int(&size))?;
                self.with_spaces(text, size, call)?
            }
            "startswith" | "endswith" => {
                return self.has_end(text, call).map(|found| Some(Item::Bool(found)));
            }
            "find" | "rfind" | "index" | "rindex" | "count" => {
                return self.found(text, call).map(|number| Some(Item::Int(number)));
            }
            "isalpha" | "isalnum" | "isdigit" | "isdecimal" | "isnumeric" | "isspace"
            | "isupper" | "islower" | "isascii" => {
                call.exactly::<0>()?;
                return Ok(Some(Item::Bool(is_all(name, text))));
            }
            _ => return Ok(None),
        };
        self.heap.string(&out, call.span).map(Some)
    }

    fn join(&mut self, between: &str, call: &Call) -> Outcome<String> {
        let [items] = call.exactly()?;
        let items = self.iterate(&items, call.first)?;
        let mut parts = Vec::with_capacity(items.len());
        for item in &items {
            match item {
                Item::Str(part) => parts.push(&**part),
                _ => return Err(call.wrong_type("strings to join", item)),
            }
        }
        let size: usize = parts.iter().map(|part| part.len()).sum();
        let size = size.saturating_add(between.len().saturating_mul(parts.len()));
        self.heap.budget.spend(size, call.span)?;
        Ok(parts.join(between))
    }

    fn replaced(&mut self, text: &str, call: &Call) -> Outcome<String> {
        let [old, new, count] = call.bind(["/", "/", "count"], 2)?;
        let (old, new) = (old.unwrap_or(Item::None), new.unwrap_or(Item::None));
        let (old, new) = (call.text(&old)?, call.text(&new)?);
        let count = count.map_or(Ok(-1), |count| call.int(&count))?;
        let times = usize::try_from(count).unwrap_or(usize::MAX);
        let found = text.matches(old).count().min(times);
        self.heap
            .budget
            .spend(text.len().saturating_add(found.saturating_mul(new.len())), call.span)?;
        Ok(text.replacen(old, new, times))
    }

    fn split(&mut self, text: &str, call: &Call) -> Outcome<Item> {
        self.heap.budget.spend(text.len() * 8, call.span)?;
        let parts: Vec<String> = if call.name == "splitlines" {
            let [keep] = call.bind(["keepends"], 0)?;
            lines(text, keep.is_some_and(|keep| self.is_true(&keep)))
        } else {
            let [between, most] = call.bind(["sep", "maxsplit"], 0)?;
            let most = most.map_or(Ok(-1), |most| call.int(&most))?;
            let most = usize::try_from(most).unwrap_or(usize::MAX);
            let from_right = call.name == "rsplit";
            match between {
                None | Some(Item::None) => words(text, most, from_right),
                Some(between) => {
                    let between = call.text(&between)?;
                    if between.is_empty() {
                        return Err(call.value("what separates the parts cannot be empty"));
                    }
                    let pieces = most.saturating_add(1);
                    let mut parts: Vec<String> = if from_right {
                        text.rsplitn(pieces, between).map(str::to_owned).collect()
                    } else {
                        text.splitn(pieces, between).map(str::to_owned).collect()
                    };
                    if from_right {
                        parts.reverse();
                    }
                    parts
                }
            }
        };
        let mut items = Vec::with_capacity(parts.len());
        for part in parts {
            items.push(self.heap.string(&part, call.span)?);
        }
        self.heap.new_list(items, call.span)
    }

    fn partition(&mut self, text: &str, call: &Call) -> Outcome<Item> {
        let [between] = call.exactly()?;
        let between = call.text(&between)?;
        if between.is_empty() {
            return Err(call.value("what separates the parts cannot be empty"));
        }
        let parts = match call.name.as_str() {
            "partition" => match text.split_once(between) {
                Some((before, after)) => [before, between, after],
                None => [text, "", ""],
            },
            _ => match text.rsplit_once(between) {
                Some((before, after)) => [before, between, after],
                None => ["", "", text],
            },
        };
        let mut items = Vec::new();
        for part in parts {
            items.push(self.heap.string(part, call.span)?);
        }
        self.heap.tuple(items, call.span)
    }

    fn padded(&mut self, text: &str, call: &Call) -> Outcome<String> {
        let [width, fill] = call.bind(["/", "/"], 1)?;
        let width = usize::try_from(call.int(&width.unwrap_or(Item::None))?).unwrap_or(0);
        self.heap.budget.spend(width.saturating_mul(4), call.span)?;
        let missing = width.saturating_sub(text.chars().count());
        if call.name == "zfill" {
            let sign = usize::from(text.starts_with(['+', '-']));
            return Ok(format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..]));
        }
        let fill = fill.unwrap_or_else(|| Item::Str(" ".into()));
        let fill = call.text(&fill)?;
        if fill.chars().count() != 1 {
            return Err(call.value(format!("{}() fills up with one character", call.name)));
        }
        let left = match call.name.as_str() {
            "ljust" => 0,
            "rjust" => missing,
            // CPython puts the odd character on the left when the width is odd.
            _ => missing / 2 + (missing & width & 1),
        };
        Ok(format!("{}{text}{}", fill.repeat(left), fill.repeat(missing - left)))
    }

    fn with_spaces(&mut self, text: &str, size: i64, call: &Call) -> Outcome<String> {
        let size = usize::try_from(size).unwrap_or(0);
        let tabs = text.matches('\t').count();
        self.heap.budget.spend(text.len().saturating_add(tabs.saturating_mul(size)), call.span)?;
        let (mut out, mut column) = (String::new(), 0);
        for symbol in text.chars() {
            match symbol {
                '\t' if size == 0 => {}
                '\t' => {
                    let many = size - column % size;
                    out.push_str(&" ".repeat(many));
                    column += many;
                }
                '\n' | '\r' => {
                    out.push(symbol);
                    column = 0;
                }
                _ => {
                    out.push(symbol);
                    column += 1;
                }
            }
        }
        Ok(out)
    }

    fn has_end(&mut self, text: &str, call: &Call) -> Outcome<bool> {
        let [ends, from, to] = call.bind(["/"; 3], 1)?;
        let Some((part, _)) = section(text, from, to, call)? else { return Ok(false) };
        let ends = match ends.unwrap_or(Item::None) {
            Item::Tuple(items) => items.to_vec(),
            item => vec![item],
        };
        for end in &ends {
            let end = call.text(end)?;
            let found =
                if call.name == "startswith" { part.starts_with(end) } else { part.ends_with(end) };
            if found {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn found(&mut self, text: &str, call: &Call) -> Outcome<i64> {
        let [wanted, from, to] = call.bind(["/"; 3], 1)?;
        let wanted = wanted.unwrap_or(Item::None);
        let wanted = call.text(&wanted)?;
        let missing = || match call.name.as_str() {
            "index" | "rindex" => Err(call.value("the text is not there")),
            "count" => Ok(0),
            _ => Ok(-1),
        };
        let Some((part, skipped)) = section(text, from, to, call)? else { return missing() };
        let at = match call.name.as_str() {
            "count" => return Ok(part.matches(wanted).count() as i64),
            "find" | "index" => part.find(wanted),
            _ => part.rfind(wanted),
        };
        match at {
            Some(at) => Ok((skipped + part[..at].chars().count()) as i64),
            None => missing(),
        }
    }
}

/// The part of a text between two places, which count characters, and how many come before it.
fn section<'a>(
    text: &'a str,
    from: Option<Item>,
    to: Option<Item>,
    call: &Call,
) -> Outcome<Option<(&'a str, usize)>> {
    let length = text.chars().count();
    let place = |item: Option<Item>, default: usize| match item {
        None | Some(Item::None) => Ok(Some(default)),
        Some(item) => call.int(&item).map(|at| {
            // A start behind the end finds nothing, not even the empty text.
            (at <= length as i64 || default == length).then(|| clamp(at, length))
        }),
    };
    let (from, to) = (place(from, 0)?, place(to, length)?);
    let (Some(from), Some(to)) = (from, to) else { return Ok(None) };
    if from > to {
        return Ok(None);
    }
    let byte = |at: usize| text.char_indices().nth(at).map_or(text.len(), |(byte, _)| byte);
    Ok(Some((&text[byte(from)..byte(to)], from)))
}

/// The words of a text. With a limit, what is left keeps the spaces at its far end.
fn words(text: &str, most: usize, from_right: bool) -> Vec<String> {
    let near = |text| trim_side(text, from_right);
    let mut parts = Vec::new();
    let mut rest = near(text);
    while !rest.is_empty() {
        let at = if from_right { rest.rfind(is_space) } else { rest.find(is_space) };
        let Some(at) = at.filter(|_| parts.len() < most) else {
            parts.push(rest.to_owned());
            break;
        };
        let (left, right) = rest.split_at(at);
        let (word, others) = if from_right { (near_side(right), left) } else { (left, right) };
        parts.push(word.to_owned());
        rest = near(others);
    }
    if from_right {
        parts.reverse();
    }
    parts
}

fn trim_side(text: &str, right: bool) -> &str {
    if right { text.trim_end_matches(is_space) } else { text.trim_start_matches(is_space) }
}

/// A word behind the one space that begins the text.
fn near_side(text: &str) -> &str {
    text.trim_start_matches(is_space)
}

fn lines(text: &str, keep: bool) -> Vec<String> {
    const ENDS: [char; 10] =
        ['\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}'];
    let mut out = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (line, end) = match rest.find(ENDS) {
            None => (rest.len(), 0),
            Some(at) if rest[at..].starts_with("\r\n") => (at, 2),
            Some(at) => (at, rest[at..].chars().next().map_or(1, char::len_utf8)),
        };
        out.push(rest[..if keep { line + end } else { line }].to_owned());
        rest = &rest[line + end..];
    }
    out
}

fn cased(name: &str, text: &str) -> String {
    match name {
        "lower" | "casefold" => text.to_lowercase(),
        "upper" => text.to_uppercase(),
        "capitalize" => {
            let mut symbols = text.chars();
            let first = symbols.next().map(|symbol| symbol.to_uppercase().to_string());
            first.unwrap_or_default() + &symbols.as_str().to_lowercase()
        }
        "swapcase" => text
            .chars()
            .map(|symbol| match symbol {
                symbol if symbol.is_uppercase() => symbol.to_lowercase().to_string(),
                symbol => symbol.to_uppercase().to_string(),
            })
            .collect(),
        _ => {
            let mut inside = false;
            let mut out = String::new();
            for symbol in text.chars() {
                if inside {
                    out.extend(symbol.to_lowercase());
                } else {
                    out.extend(symbol.to_uppercase());
                }
                inside = symbol.is_alphabetic();
            }
            out
        }
    }
}

fn is_all(name: &str, text: &str) -> bool {
    if name == "isascii" {
        return text.is_ascii();
    }
    if let "isupper" | "islower" = name {
        // Characters without a case do not count.
        let wrong = |symbol: char| {
            if name == "isupper" { symbol.is_lowercase() } else { symbol.is_uppercase() }
        };
        let right = |symbol: char| {
            if name == "isupper" { symbol.is_uppercase() } else { symbol.is_lowercase() }
        };
        return text.contains(right) && !text.contains(wrong);
    }
    let is = |symbol: char| match name {
        "isalpha" => symbol.is_alphabetic(),
        "isalnum" => symbol.is_alphanumeric(),
        "isspace" => is_space(symbol),
        _ => symbol.is_numeric(),
    };
    !text.is_empty() && text.chars().all(is)
}
