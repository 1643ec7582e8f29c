//! Types of what is sent, as the server's models have them. Each mistake is told as FastAPI does.

use serde_json::{Value as Json, json};

/// Mistakes of one body.
#[derive(Default)]
pub struct Mistakes(Vec<Json>);

impl Mistakes {
    /// Looks at the body of a call; nothing if all is well.
    pub fn of(call: &str, body: &Json) -> Option<Json> {
        let mut mistakes = Mistakes::default();
        match call {
            "get_task" => {
                mistakes.texts(body, "supported_arches");
                mistakes.texts(body, "excluded_packages");
            }
            "ping" => mistakes.list(body, "active_tasks", "integer", Json::is_i64),
            "build_done" => mistakes.report(body),
            _ => {}
        }
        (!mistakes.0.is_empty()).then(|| json!({ "detail": mistakes.0 }))
    }

    fn add(&mut self, place: &[&str], kind: &str, message: &str, input: &Json) {
        let mut loc = vec!["body"];
        loc.extend(place);
        self.0.push(json!({"type": kind, "loc": loc, "msg": message, "input": input}));
    }

    fn field(&mut self, body: &Json, place: &[&str], kind: &str, is_good: impl Fn(&Json) -> bool) {
        let name = place.last().copied().unwrap_or_default();
        match body.get(name) {
            None => self.add(place, "missing", "Field required", body),
            Some(value) if is_good(value) => {}
            Some(value) => {
                let message = format!("Input should be a valid {kind}");
                self.add(place, &format!("{kind}_type"), &message, value);
            }
        }
    }

    fn list(&mut self, body: &Json, name: &str, kind: &str, is_good: impl Fn(&Json) -> bool) {
        self.field(body, &[name], "list", Json::is_array);
        for (index, item) in body[name].as_array().into_iter().flatten().enumerate() {
            if !is_good(item) {
                let message = format!("Input should be a valid {kind}");
                self.add(&[name, &index.to_string()], &format!("{kind}_type"), &message, item);
            }
        }
    }

    fn texts(&mut self, body: &Json, name: &str) {
        self.list(body, name, "string", Json::is_string);
    }

    fn report(&mut self, body: &Json) {
        self.field(body, &["task_id"], "integer", Json::is_i64);
        self.field(body, &["status"], "enum", |status| {
            ["done", "failed", "excluded"].iter().any(|known| status == known)
        });
        self.list(body, "artifacts", "dict", Json::is_object);
        for (index, artifact) in body["artifacts"].as_array().into_iter().flatten().enumerate() {
            for name in ["name", "href", "sha256"] {
                let index = index.to_string();
                self.field(artifact, &["artifacts", &index, name], "string", Json::is_string);
            }
            self.field(artifact, &["artifacts", &index.to_string(), "type"], "enum", |kind| {
                kind == "rpm" || kind == "build_log"
            });
        }
        self.field(body, &["stats"], "dict", Json::is_object);
        for (stage, values) in body["stats"].as_object().into_iter().flatten() {
            if !values.is_object() {
                self.add(
                    &["stats", stage],
                    "dict_type",
                    "Input should be a valid dictionary",
                    values,
                );
            }
            for (key, value) in values.as_object().into_iter().flatten() {
                if !value.is_string() {
                    let message = "Input should be a valid string";
                    self.add(&["stats", stage, key], "string_type", message, value);
                }
            }
        }
        if body.get("is_cas_authenticated").is_some_and(|flag| !flag.is_boolean()) {
            let value = &body["is_cas_authenticated"];
            let message = "Input should be a valid boolean";
            self.add(&["is_cas_authenticated"], "bool_type", message, value);
        }
        for name in ["git_commit_hash", "alma_commit_cas_hash"] {
            if body.get(name).is_some_and(|hash| !hash.is_null() && !hash.is_string()) {
                self.add(&[name], "string_type", "Input should be a valid string", &body[name]);
            }
        }
    }
}
