//! `os`, `os.path` and `platform`, as far as a config may see them.

use super::call::Call;
use super::heap::Item;
use super::{Machine, Seen};
use crate::mock_config::error::{ErrorKind, Fault, Outcome};
use crate::mock_config::modules;
use crate::mock_config::source::Span;

/// The system that configs run on.
const SYSTEM: &str = "Linux";

impl Machine<'_> {
    /// A part of a module, or of what `os.uname()` returns; None when values have no such parts.
    pub(super) fn attribute(
        &mut self,
        base: &Item,
        name: &str,
        span: Span,
    ) -> Outcome<Option<Item>> {
        match base {
            Item::Module(module) => {
                let path = format!("{module}.{name}");
                match modules::member(&path) {
                    Some(path) => self.member(path, span).map(Some),
                    None => Err(not_here(module, &path, span)),
                }
            }
            Item::Uname => {
                let parts = self.uname_parts();
                let at = match name {
                    "sysname" | "system" => 0,
                    "nodename" | "node" => 1,
                    "release" => 2,
                    "version" => 3,
                    "machine" => 4,
                    _ => return Ok(None),
                };
                Ok(Some(parts[at].clone()))
            }
            _ => Ok(None),
        }
    }

    /// What is known under a full name.
    pub(super) fn member(&mut self, path: &'static str, span: Span) -> Outcome<Item> {
        if let Some(module) = modules::module(path) {
            return Ok(Item::Module(module));
        }
        let text = match path {
            "os.environ" => return self.environ(span),
            "os.sep" | "os.path.sep" => "/",
            "os.pathsep" => ":",
            "os.linesep" => "\n",
            "os.name" => "posix",
            _ => return Ok(Item::Function(path)),
        };
        self.heap.string(text, span)
    }

    fn environ(&mut self, span: Span) -> Outcome<Item> {
        if let Some(id) = self.environment {
            return Ok(Item::Dict(id));
        }
        let id = self.heap.new_dict(span)?;
        for (name, value) in &self.world.host().environment {
            let item = self.heap.string(value, span)?;
            self.heap.insert(id, name.as_str().into(), item, span)?;
        }
        self.environment = Some(id);
        Ok(Item::Dict(id))
    }

    /// What `os.uname()` has. The version of the kernel says when it was built, which is nothing
    /// that a config should depend on.
    pub(super) fn uname_parts(&self) -> Vec<Item> {
        let host = self.world.host();
        let parts = [SYSTEM, &host.hostname, &host.kernel, "", &host.arch];
        parts.into_iter().map(|part| Item::Str(part.into())).collect()
    }

    pub(super) fn system_function(&mut self, path: &'static str, call: &Call) -> Outcome<Item> {
        let host = self.world.host();
        let text = match path {
            "os.getuid" | "os.geteuid" => {
                call.exactly::<0>()?;
                return Ok(Item::Int(i64::from(host.uid)));
            }
            "os.getgid" | "os.getegid" => {
                call.exactly::<0>()?;
                return Ok(Item::Int(i64::from(host.gid)));
            }
            "os.cpu_count" => {
                call.exactly::<0>()?;
                return Ok(Item::Int(host.cpus.max(1) as i64));
            }
            "os.uname" | "platform.uname" => {
                call.exactly::<0>()?;
                return Ok(Item::Uname);
            }
            "platform.machine" | "platform.processor" | "platform.node" | "platform.release"
            | "platform.system" => {
                call.exactly::<0>()?;
                match path {
                    "platform.node" => &host.hostname,
                    "platform.release" => &host.kernel,
                    "platform.system" => SYSTEM,
                    _ => &host.arch,
                }
                .to_owned()
            }
            "os.getenv" => {
                let [name, default] = call.bind(["key", "default"], 1)?;
                let name = name.unwrap_or(Item::None);
                let found = host.environment.get(call.text(&name)?).cloned();
                match found {
                    Some(value) => value,
                    None => return Ok(default.unwrap_or(Item::None)),
                }
            }
            "os.path.join" => {
                let mut out = String::new();
                for item in &call.items {
                    let part = call.text(item)?;
                    self.heap.budget.spend(part.len() + out.len(), call.span)?;
                    if part.starts_with('/') {
                        out.clear();
                    } else if !out.is_empty() && !out.ends_with('/') {
                        out.push('/');
                    }
                    out.push_str(part);
                }
                out
            }
            "os.path.split" | "os.path.splitext" => {
                let [item] = call.exactly()?;
                let text = call.text(&item)?;
                let (a, b) = if path == "os.path.split" { split(text) } else { splitext(text) };
                let (a, b) = (self.heap.string(a, call.span)?, self.heap.string(b, call.span)?);
                return self.heap.tuple(vec![a, b], call.span);
            }
            _ => {
                let [item] = call.exactly()?;
                let text = call.text(&item)?;
                self.heap.budget.work(text.len(), call.span)?;
                match path {
                    "os.path.dirname" => split(text).0.to_owned(),
                    "os.path.basename" => split(text).1.to_owned(),
                    "os.path.isabs" => return Ok(Item::Bool(text.starts_with('/'))),
                    "os.path.normpath" => normal(text),
                    "os.path.abspath" | "os.path.realpath" => {
                        if !text.starts_with('/') {
                            let message = "a config has no working directory";
                            return Err(Fault::new(ErrorKind::Unsupported, call.span, message)
                                .hint("give an absolute path"));
                        }
                        normal(text)
                    }
                    "os.path.expanduser" => {
                        match (text.strip_prefix('~'), host.environment.get("HOME")) {
                            (Some(rest), Some(home))
                                if rest.is_empty() || rest.starts_with('/') =>
                            {
                                format!("{}{rest}", home.trim_end_matches('/'))
                            }
                            _ => text.to_owned(),
                        }
                    }
                    "os.path.exists" | "os.path.isfile" | "os.path.isdir" => {
                        return self.is_there(path, text, call.span);
                    }
                    _ => return Err(not_here("os", path, call.span)),
                }
            }
        };
        self.heap.string(&text, call.span)
    }

    fn is_there(&mut self, function: &str, path: &str, span: Span) -> Outcome<Item> {
        let seen = match path.starts_with('/') {
            true => self.world.look(&normal(path)),
            false => Seen::Hidden,
        };
        if seen == Seen::Hidden {
            let path: String = path.chars().take(200).collect();
            let text = format!(
                "the config asks whether '{path}' exists; it is told no, as configs see only the \
                 directories of configs and keys"
            );
            self.note(text, span);
        }
        Ok(Item::Bool(match function {
            "os.path.isfile" => seen == Seen::File,
            "os.path.isdir" => seen == Seen::Directory,
            _ => matches!(seen, Seen::File | Seen::Directory),
        }))
    }
}

fn not_here(module: &str, path: &str, span: Span) -> Fault {
    let prefix = format!("{module}.");
    let known: Vec<&str> = modules::MEMBERS
        .iter()
        .filter_map(|member| member.strip_prefix(&prefix))
        .filter(|member| !member.contains('.'))
        .collect();
    Fault::new(ErrorKind::Unsupported, span, format!("`{path}` is not available in configs"))
        .hint(format!("a config has no access to the machine; {module} has {}", known.join(", ")))
}

/// The part before the last slash, and the part behind it.
fn split(path: &str) -> (&str, &str) {
    let (head, tail) = path.split_at(path.rfind('/').map_or(0, |at| at + 1));
    let shorter = head.trim_end_matches('/');
    (if shorter.is_empty() { head } else { shorter }, tail)
}

/// The extension with its dot, and what comes before it. Dots that begin a name are none.
fn splitext(path: &str) -> (&str, &str) {
    let name = path.rfind('/').map_or(0, |at| at + 1);
    let start = name + path[name..].len() - path[name..].trim_start_matches('.').len();
    match path[start..].rfind('.') {
        Some(at) => path.split_at(start + at),
        None => (path, ""),
    }
}

/// The path without `.`, `..` and double slashes, as far as its text says.
fn normal(path: &str) -> String {
    let root = match path {
        _ if path.starts_with("//") && !path.starts_with("///") => "//",
        _ if path.starts_with('/') => "/",
        _ => "",
    };
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => drop(parts.pop()),
            ".." if !root.is_empty() => {}
            _ => parts.push(part),
        }
    }
    let whole = format!("{root}{}", parts.join("/"));
    if whole.is_empty() { ".".to_owned() } else { whole }
}
