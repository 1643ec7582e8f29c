//! Reading a task field by field. A server that sends something else must still be told that the
//! task has failed, and why: everything wrong is collected, and the id is looked for first.

use std::fmt;

use serde_json::{Map, Value as Json};

use super::check;
use super::{MAX_ID, Person, Platform, PlatformData, Ref, RefKind, Repository, Task};

/// Complaints that are kept.
const MOST: usize = 50;

/// A task that cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedTask {
    /// Its number, if that much is clear: it can be reported as failed.
    pub id: Option<i64>,
    /// What is wrong; never empty.
    pub complaints: Vec<Complaint>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    /// Where in the task: `platform.data.timeout`, `repositories[2].url`; empty for all of it.
    pub field: String,
    /// What is expected, and what is there.
    pub message: String,
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let field = if self.field.is_empty() { "the task" } else { &self.field };
        write!(f, "{field} {}", self.message)
    }
}

impl fmt::Display for MalformedTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.id {
            Some(id) => write!(f, "task {id} cannot be understood: ")?,
            None => f.write_str("a task without a usable id cannot be understood: ")?,
        }
        for (index, complaint) in self.complaints.iter().enumerate() {
            let separator = if index > 0 { "; " } else { "" };
            write!(f, "{separator}{complaint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for MalformedTask {}

impl Task {
    /// Reads a task.
    ///
    /// # Errors
    ///
    /// Something in it is missing or of the wrong type, or no build could use it.
    pub fn from_json(json: &Json) -> Result<Task, MalformedTask> {
        let mut complaints = Vec::new();
        let task = match json {
            Json::Object(map) => {
                task(&mut Fields { map, path: String::new(), complaints: &mut complaints })
            }
            other => {
                let message = format!("must be an object, but it is {}", told(other));
                complaints.push(Complaint { field: String::new(), message });
                None
            }
        };
        match task {
            Some(task) if complaints.is_empty() => Ok(task),
            _ => Err(MalformedTask { id: id_of(json), complaints }),
        }
    }
}

/// The id alone, from whatever there is.
fn id_of(json: &Json) -> Option<i64> {
    let id = json.get("id")?;
    let id = id.as_i64().or_else(|| id.as_str()?.trim().parse().ok())?;
    (1..=MAX_ID).contains(&id).then_some(id)
}

/// The fields of one object.
struct Fields<'a, 'b> {
    map: &'a Map<String, Json>,
    /// What stands before a field's name: nothing, or a path with a dot at its end.
    path: String,
    complaints: &'b mut Vec<Complaint>,
}

impl<'a> Fields<'a, '_> {
    fn complain(&mut self, field: &str, message: String) {
        if self.complaints.len() < MOST {
            self.complaints.push(Complaint { field: format!("{}{field}", self.path), message });
        }
    }

    /// A field that may be missing or null.
    fn optional<T>(
        &mut self,
        field: &str,
        wanted: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Option<T> {
        let json = self.map.get(field).filter(|json| !json.is_null())?;
        let value = read(json);
        if value.is_none() {
            self.complain(field, format!("must be {wanted}, but it is {}", told(json)));
        }
        value
    }

    /// A field that may not.
    fn required<T>(
        &mut self,
        field: &str,
        wanted: &str,
        read: impl Fn(&'a Json) -> Option<T>,
    ) -> Option<T> {
        match self.map.get(field) {
            None => {
                self.complain(field, format!("is missing; it must be {wanted}"));
                None
            }
            Some(Json::Null) => {
                self.complain(field, format!("must be {wanted}, but it is null"));
                None
            }
            Some(_) => self.optional(field, wanted, read),
        }
    }

    /// A text that may be missing; an empty one is.
    fn text(
        &mut self,
        field: &str,
        wanted: &str,
        is_good: impl Fn(&str) -> bool,
    ) -> Option<String> {
        self.optional(field, wanted, |json| json.as_str().filter(|t| t.is_empty() || is_good(t)))
            .filter(|text| !text.is_empty())
            .map(str::to_owned)
    }

    fn flag(&mut self, field: &str) -> bool {
        self.optional(field, "true or false", Json::as_bool).unwrap_or_default()
    }

    /// An object below; `None` if it is missing or something else.
    fn object(&mut self, field: &str) -> Option<Fields<'a, '_>> {
        let map = self.required(field, "an object", Json::as_object)?;
        Some(Fields {
            map,
            path: format!("{}{field}.", self.path),
            complaints: &mut *self.complaints,
        })
    }

    fn map(&mut self, field: &str) -> Map<String, Json> {
        self.optional(field, "an object", Json::as_object).cloned().unwrap_or_default()
    }
}

fn task(f: &mut Fields<'_, '_>) -> Option<Task> {
    let wanted = format!("a number from 1 to {MAX_ID}");
    let id = f.required("id", &wanted, |json| json.as_i64().filter(|id| (1..=MAX_ID).contains(id)));
    let arch = f.required("arch", "the name of an architecture", |json| {
        json.as_str().filter(|text| check::is_arch(text)).map(str::to_owned)
    });
    let build_id = f.optional("build_id", "a number", Json::as_i64);
    let source = f.object("ref").as_mut().and_then(source);
    let platform = f.object("platform").as_mut().and_then(platform);
    let created_by = f
        .optional("created_by", "an object", Json::as_object)
        .map(|map| Fields { map, path: "created_by.".into(), complaints: &mut *f.complaints })
        .map(|mut f| Person {
            name: f.text("name", "a text", |_| true).unwrap_or_default(),
            email: f.text("email", "a text", |_| true).unwrap_or_default(),
        });
    let items = f.optional("repositories", "a list", Json::as_array);
    let mut repositories = Vec::new();
    for (index, item) in items.into_iter().flatten().enumerate() {
        let path = format!("repositories[{index}]");
        let Some(map) = item.as_object() else {
            f.complain(&path, format!("must be an object, but it is {}", told(item)));
            continue;
        };
        let path = format!("{path}.");
        repositories.extend(repository(&mut Fields { map, path, complaints: &mut *f.complaints }));
    }
    let built_srpm_url =
        f.text("built_srpm_url", "the http, https or ftp address of a file", check::is_download);
    let srpm_hash = f.text("srpm_hash", "a checksum", check::is_one_word);
    let is_secure_boot = f.flag("is_secure_boot");
    let alma_commit_cas_hash = f.text("alma_commit_cas_hash", "a text", |_| true);
    let is_cas_authenticated = f.flag("is_cas_authenticated");
    Some(Task {
        id: id?,
        arch: arch?,
        build_id,
        source: source?,
        platform: platform?,
        created_by,
        repositories,
        built_srpm_url,
        srpm_hash,
        is_secure_boot,
        alma_commit_cas_hash,
        is_cas_authenticated,
    })
}

fn source(f: &mut Fields<'_, '_>) -> Option<Ref> {
    let url = f.required("url", "the address of a git repository or source package", |json| {
        json.as_str().filter(|url| check::is_source(url)).map(str::to_owned)
    });
    let git_ref = f.text("git_ref", "the name of a git ref", check::is_git_ref);
    let kind = f.optional("ref_type", "a number from 1 to 4", |json| match json.as_i64()? {
        1 => Some(RefKind::Branch),
        2 => Some(RefKind::Tag),
        3 => Some(RefKind::SourcePackage),
        4 => Some(RefKind::Other),
        _ => None,
    });
    let commit = f.text("git_commit_hash", "a commit, 4 to 64 hexadecimal digits", |text| {
        check::is_hexadecimal(text, 4..=64)
    });
    let git_commit_hash = commit.map(|hash| hash.to_ascii_lowercase());
    Some(Ref { url: url?, git_ref, kind, git_commit_hash })
}

fn platform(f: &mut Fields<'_, '_>) -> Option<Platform> {
    let name = f.required("name", "a text that is not empty", |json| {
        json.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
    });
    f.text("type", "rpm; this node builds no other packages", |text| text == "rpm");
    let has_data = f.map.get("data").is_some_and(|data| !data.is_null());
    let data = if has_data { f.object("data") } else { None };
    let data = data.map(|mut f| platform_data(&mut f)).unwrap_or_default();
    Some(Platform { name: name?, data })
}

fn platform_data(f: &mut Fields<'_, '_>) -> PlatformData {
    PlatformData {
        mock: f.map("mock"),
        definitions: f.map("definitions"),
        yum: f.map("yum"),
        mock_dist: f.text("mock_dist", "a text", |_| true),
        timeout: f.optional("timeout", "a number of seconds, 1 or more", |json| {
            json.as_u64().filter(|seconds| *seconds > 0)
        }),
        custom_logs: f
            .optional("custom_logs", "a list of texts", |json| {
                let texts = json.as_array()?.iter().map(|item| item.as_str().map(str::to_owned));
                texts.collect::<Option<Vec<_>>>()
            })
            .unwrap_or_default(),
        allow_sources_download: f.flag("allow_sources_download"),
    }
}

fn repository(f: &mut Fields<'_, '_>) -> Option<Repository> {
    let filled = |json: &Json| json.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let name = f.required("name", "a text that is not empty", filled);
    let url = f.required("url", "an address", filled);
    let priority = f.optional("priority", "a whole number", Json::as_i64);
    let enabled = f.optional("mock_enabled", "true or false", Json::as_bool);
    Some(Repository { name: name?, url: url?, priority, mock_enabled: enabled.unwrap_or(true) })
}

/// What a value is, short and on one line.
fn told(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
        Json::String(text) if text.chars().count() > 80 => {
            let short: String = text.chars().take(80).collect();
            format!("{short:?}…")
        }
        Json::String(text) => format!("{text:?}"),
        other => other.to_string(),
    }
}
