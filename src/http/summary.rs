//! What an answer that says no says, on one line: JSON of FastAPI and of Django REST framework,
//! pages of nginx and Django, or plain text.

use serde_json::Value as Json;

use crate::run::plain;

/// Characters that are shown.
const LONGEST: usize = 300;
/// Complaints that are told one by one.
const MOST: usize = 5;

/// One line without control characters; nothing if the answer has no content.
pub fn summary(content_type: &str, body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let told = match serde_json::from_slice::<Json>(body) {
        Ok(json) => of_json(&json),
        Err(_) if content_type.contains("html") || text.trim_start().starts_with('<') => {
            of_page(&text)
        }
        Err(_) => text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("").into(),
    };
    let line = plain(&told.split_whitespace().collect::<Vec<_>>().join(" "));
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

fn of_json(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        Json::Array(items) => {
            let told: Vec<String> = items.iter().take(MOST).map(of_json).collect();
            let more = items.len().saturating_sub(MOST);
            let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
            told.join("; ") + &rest
        }
        Json::Object(map) => {
            // One complaint of FastAPI about one field.
            if let (Some(place), Some(Json::String(message))) = (map.get("loc"), map.get("msg")) {
                return format!("{}: {message}", place_of(place));
            }
            if let Some(detail) = map.get("detail").or_else(|| map.get("non_field_errors")) {
                return of_json(detail);
            }
            if let Some(Json::String(description)) = map.get("description") {
                return description.clone();
            }
            let told: Vec<String> = map
                .iter()
                .take(MOST)
                .map(|(key, value)| format!("{key}: {}", of_json(value)))
                .collect();
            told.join("; ")
        }
        other => other.to_string(),
    }
}

/// `body.stats.build` of `["body", "stats", "build"]`.
fn place_of(place: &Json) -> String {
    let parts = place.as_array().into_iter().flatten();
    let parts: Vec<String> =
        parts.map(|part| part.as_str().map_or_else(|| part.to_string(), str::to_owned)).collect();
    parts.join(".")
}

/// The title of a page, else its first heading, else the text that is left without tags.
fn of_page(text: &str) -> String {
    for tag in ["title", "h1"] {
        let found = between(text, tag).map(words).filter(|found| !found.is_empty());
        if let Some(found) = found {
            return found;
        }
    }
    words(text)
}

fn between<'a>(text: &'a str, tag: &str) -> Option<&'a str> {
    // ASCII case changes no positions.
    let lower = text.to_ascii_lowercase();
    let start = lower.find(&format!("<{tag}"))?;
    let start = start + lower[start..].find('>')? + 1;
    let end = start + lower[start..].find(&format!("</{tag}"))?;
    Some(&text[start..end])
}

/// Text without tags, and with the few entities that such pages have.
fn words(text: &str) -> String {
    let mut out = String::new();
    let mut inside = false;
    for c in text.chars() {
        match c {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                out.push(' ');
            }
            c if !inside => out.push(c),
            _ => {}
        }
    }
    let entities = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    entities.iter().fold(out, |text, (from, to)| text.replace(from, to)).trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_of_everything() {
        let html = "text/html";
        let json = "application/json";
        for (kind, body, wanted) in [
            (json, r#"{"detail":"Not authenticated"}"#, "Not authenticated"),
            (
                json,
                r#"{"detail":[{"type":"string_type","loc":["body","stats","a",0],"msg":"Input should be a valid string","input":1},{"loc":["body"],"msg":"x"}]}"#,
                "body.stats.a.0: Input should be a valid string; body: x",
            ),
            (json, r#"{"non_field_errors":["a","b"]}"#, "a; b"),
            (
                json,
                r#"["Checksum does not match chunk upload."]"#,
                "Checksum does not match chunk upload.",
            ),
            (json, r#"{"file":["No file was submitted."]}"#, "file: No file was submitted."),
            (json, r#"[1,2,3,4,5,6,7]"#, "1; 2; 3; 4; 5; and 2 more"),
            (json, r#"{"ok": false}"#, "ok: false"),
            (
                html,
                "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body>…",
                "413 Request Entity Too Large",
            ),
            (
                html,
                "<H1 class=x>Server Error &amp;\n more (500)</H1><p>x",
                "Server Error & more (500)",
            ),
            ("", "  <p>just <b>text</b></p>", "just text"),
            (html, "<title></title>a", "a"),
            ("text/plain", "\n\n Internal Server Error\nmore", "Internal Server Error"),
            ("text/plain", "a\x1b[2Jb\x07", "a\u{fffd}[2Jb\u{fffd}"),
            (json, "{\"detail\":\"\\u001b]0;x\\u0007\\u202ey\"}", "\u{fffd}]0;x\u{fffd}\u{fffd}y"),
            ("", "", ""),
        ] {
            assert_eq!(summary(kind, body.as_bytes()), wanted, "{body}");
        }
        assert_eq!(summary("", &[0xff, 0xfe, b'x']), "\u{fffd}\u{fffd}x");
        assert_eq!(summary("", "ä".repeat(1000).as_bytes()).chars().count(), LONGEST + 1);
    }

    proptest::proptest! {
        #[test]
        fn anything_becomes_one_short_line(body in "(<|>|title|h1|/|&amp;|[ -~]|\\PC|\n|\x1b){0,80}") {
            let line = summary("text/html", body.as_bytes());
            proptest::prop_assert!(!line.chars().any(char::is_control));
            proptest::prop_assert!(line.chars().count() <= LONGEST + 1);
        }
    }
}
