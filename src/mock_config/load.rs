//! Loading a config: all files in mock's order, then the command line, then what follows from it.

use std::path::{Path, PathBuf};

use super::defaults::{Defaults, defaults};
use super::error::{ConfigError, ErrorKind, Fault};
use super::eval::{Machine, Origins, Seen, World};
use super::files::{Found, Library};
use super::host::HostView;
use super::include::Includer;
use super::map::{Key, OrderedMap};
use super::options::MockOptions;
use super::source::{Location, Note, Origin, SourceMap};
use super::template::{Expander, Failure, Reason, explain};
use super::value::Value;
use super::{fill, overrides, parse, write};
use crate::nearest::nearest;

/// What to load, and everything the result may depend on.
#[derive(Debug, Clone)]
pub struct LoadRequest {
    /// The name of a config, or the path of a file that ends in `.cfg`.
    pub name: String,
    /// Where to look for configs instead of the user's and the system's directory.
    pub configdir: Option<PathBuf>,
    /// The user's home: `.config/mock/` holds configs, `.config/mock.cfg` is read after any.
    pub home: Option<PathBuf>,
    /// Where mock's configs are on this host, `/etc/mock` as a rule.
    pub system_dir: PathBuf,
    /// Options of the command line.
    pub overrides: Vec<(String, String)>,
    /// The host.
    pub host: HostView,
}

impl LoadRequest {
    pub(super) fn library(&self) -> Library<'_> {
        Library {
            configdir: self.configdir.as_deref(),
            home: self.home.as_deref(),
            system_dir: &self.system_dir,
        }
    }
}

/// A config that has been read, with templates still in its values.
#[derive(Debug, Clone)]
pub struct LoadedConfig {
    /// Its name: the file's without extension.
    pub name: String,
    /// The file that the name led to.
    pub origin: Origin,
    /// Every file that was read, in order.
    pub files: Vec<Origin>,
    /// What was odd but no error.
    pub notes: Vec<Note>,
    pub(super) root: OrderedMap<Value>,
    origins: Origins,
    map: SourceMap,
}

/// Loads a config.
pub fn load(request: &LoadRequest) -> Result<LoadedConfig, ConfigError> {
    let library = request.library();
    let found = library.find(&request.name)?;
    let name = chroot_name(&request.name);
    let view = View { library: &library, host: &request.host };
    let mut session = Session::new(&view, &name, &found.origin);
    for file in ["site-defaults.cfg", "chroot-aliases.cfg"] {
        session.run_if_there(&library.config_dir().join(file))?;
    }
    let origin = found.origin.clone();
    session.run(found)?;
    if let Some(home) = &request.home {
        // The first is an older name of the second; both are read.
        session.run_if_there(&home.join(".mock/user.cfg"))?;
        session.run_if_there(&home.join(".config/mock.cfg"))?;
    }
    let mut config = session.finish(name, origin, &request.host)?;
    config.override_with(&request.overrides)?;
    fill::after_overrides(&mut config, &request.host)?;
    config.files =
        config.map.origins().filter(|file| **file != Origin::CommandLine).cloned().collect();
    Ok(config)
}

fn chroot_name(name: &str) -> String {
    let file = Path::new(name).file_name().map(|file| file.to_string_lossy().into_owned());
    let file = file.unwrap_or_else(|| name.to_owned());
    file.strip_suffix(".cfg").map(str::to_owned).unwrap_or(file)
}

/// What a config may see of the machine.
struct View<'a> {
    library: &'a Library<'a>,
    host: &'a HostView,
}

impl World for View<'_> {
    fn host(&self) -> &HostView {
        self.host
    }

    fn look(&self, path: &str) -> Seen {
        let Some(path) = self.library.visible(Path::new(path)) else { return Seen::Hidden };
        match std::fs::metadata(path) {
            Ok(data) if data.is_dir() => Seen::Directory,
            Ok(_) => Seen::File,
            Err(_) => Seen::Nothing,
        }
    }
}

/// The part of a load that runs files.
struct Session<'a> {
    view: &'a View<'a>,
    machine: Machine<'a>,
    map: SourceMap,
    notes: Vec<Note>,
}

impl<'a> Session<'a> {
    fn new(view: &'a View<'a>, name: &str, origin: &Origin) -> Self {
        let Defaults { options, aliases } = defaults();
        let mut options = options.as_dict().cloned().unwrap_or_default();
        let directory = view.library.config_dir().display().to_string();
        for (key, value) in fill::run_options(name, &origin.to_string(), &directory, view.host) {
            options.insert(Key::from(key), value);
        }
        let machine = Machine::new(&Value::Dict(options), aliases, view);
        Session { view, machine, map: SourceMap::default(), notes: Vec::new() }
    }

    fn run_if_there(&mut self, path: &Path) -> Result<(), ConfigError> {
        match self.view.library.open(&Origin::File(path.to_owned())) {
            Ok(found) => self.run(found),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn run(&mut self, found: Found) -> Result<(), ConfigError> {
        let text = Includer::new(self.view.library, &mut self.map, &mut self.notes, self.view)
            .read(found)?;
        let base = self.map.add_text(&text);
        let locate = |fault: Fault| fault.locate(&self.map);
        let statements = parse::parse(&text.text, base).map_err(locate)?;
        self.machine.run(&statements).map_err(locate)?;
        self.machine.name_macros().map_err(locate)?;
        for note in self.machine.take_notes() {
            let location = self.map.locate(note.span);
            self.notes.push(Note { text: note.text, location });
        }
        Ok(())
    }

    fn finish(
        self,
        name: String,
        origin: Origin,
        host: &HostView,
    ) -> Result<LoadedConfig, ConfigError> {
        let (value, origins) = self.machine.finish().map_err(|fault| fault.locate(&self.map))?;
        let mut root = value.as_dict().cloned().unwrap_or_default();
        fill::before_overrides(&mut root, host);
        let Session { map, notes, .. } = self;
        Ok(LoadedConfig { name, origin, files: Vec::new(), notes, root, origins, map })
    }
}

impl LoadedConfig {
    /// All options with their templates, without those that only describe this run.
    pub fn raw(&self) -> Value {
        Value::Dict(shown(&self.root))
    }

    /// All options with their templates expanded, without those that only describe this run.
    pub fn expanded(&self) -> Result<Value, ConfigError> {
        Ok(Value::Dict(shown(&self.expand_all()?)))
    }

    pub(super) fn expand_all(&self) -> Result<OrderedMap<Value>, ConfigError> {
        Expander::with(&self.root, |expander| expander.all(&self.root))
            .map_err(|failure| self.template_error(failure))
    }

    /// The config as a bootstrap root sees it: `bootstrap_X` stands in place of every other option X,
    /// as in mock. Those that only bootstrap roots have keep their names.
    pub fn for_bootstrap(&self) -> LoadedConfig {
        let own = ["image", "additional_packages", "module"];
        let mut config = self.clone();
        for (key, value) in self.root.iter() {
            let Some(name) = key.as_str().and_then(|key| key.strip_prefix("bootstrap_")) else {
                continue;
            };
            let is_own = own.iter().any(|start| name.starts_with(start))
                || name == "chroot_additional_packages";
            let name = real_name(name);
            if !is_own && self.root.get_str(name).is_some() {
                config.set(name, value.clone());
            }
        }
        config
    }

    /// The config that sets all that this one changes of the defaults, with its templates or expanded.
    /// Options come in alphabetical order, and dictionaries key by key.
    pub fn text(&self, expanded: bool) -> Result<String, ConfigError> {
        let all = if expanded { self.expand_all()? } else { self.root.clone() };
        let options = shown(&all);
        let mut names: Vec<&str> = options.keys().filter_map(Key::as_str).collect();
        names.sort_unstable();
        let mut out = String::new();
        for name in names {
            let default = defaults().options.get(name);
            if let (Some(value), Some(written)) = (options.get_str(name), self.root.get_str(name)) {
                let is_own = |path: &[&str]| self.is_own(path);
                write::changes(&mut vec![name], value, written, default, &is_own, &mut out);
            }
        }
        let known = defaults().options.as_dict().into_iter().flat_map(OrderedMap::keys);
        let gone = known.filter(|key| !self.root.contains(key));
        for name in gone.filter_map(Key::as_str).filter(|name| !fill::is_derived(&[name])) {
            out.push_str(&write::deletion(name));
        }
        Ok(out)
    }

    /// Whether a file or the command line has set this, or something in it. What is worked out
    /// after loading is not the config's own.
    fn is_own(&self, path: &[&str]) -> bool {
        // What a config takes out of a default has no place of its own.
        if !fill::is_derived(path) {
            return true;
        }
        let from: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        self.origins.range(from.clone()..).next().is_some_and(|(own, _)| own.starts_with(&from))
    }

    /// One option, expanded; aliases work.
    pub fn get(&self, option: &str) -> Result<Option<Value>, ConfigError> {
        let name = real_name(option);
        let Some(value) = self.root.get_str(name) else { return Ok(None) };
        Expander::with(&self.root, |expander| expander.below(name.to_owned(), value))
            .map(Some)
            .map_err(|failure| self.template_error(failure))
    }

    /// One option with its templates; aliases work.
    pub fn raw_option(&self, option: &str) -> Option<Value> {
        self.root.get_str(real_name(option)).cloned()
    }

    /// The option whose name is most like this one.
    pub fn nearest_option(&self, name: &str) -> Option<&str> {
        let names = self.root.keys().filter_map(Key::as_str);
        nearest(name, names, 1).first().copied()
    }

    /// Where an option was set, by the keys that lead to it; defaults were set nowhere.
    pub fn place(&self, path: &[&str]) -> Option<Location> {
        let mut path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        if let Some(first) = path.first_mut() {
            *first = real_name(first).to_owned();
        }
        // What has no place of its own was set together with what it is in.
        while !path.is_empty() {
            if let Some(span) = self.origins.get(&path) {
                return self.map.locate(*span);
            }
            path.pop();
        }
        None
    }

    /// Lines of the files that say this and nothing else: what stands inside a long text.
    pub(super) fn lines(&self, wanted: &str) -> Vec<Location> {
        self.map.lines(wanted)
    }

    /// The options that builds are planned from, checked.
    pub fn options(&self) -> Result<MockOptions, ConfigError> {
        MockOptions::of(self)
    }

    /// Whether the host can build this config: an error of kind `Architecture` if not.
    pub fn check_host(&self, host: &HostView) -> Result<(), ConfigError> {
        // Somebody who names an architecture to emulate knows that it is another one.
        if self.is_legal_host(&host.arch)? || self.is_own(&["forcearch"]) {
            return Ok(());
        }
        let arches = self.get("legal_host_arches")?.unwrap_or(Value::None);
        let message = format!(
            "the config '{}' cannot be built on {}: its legal_host_arches are {arches}",
            self.name, host.arch
        );
        Err(ConfigError::new(ErrorKind::Architecture, message)
            .with_location(self.place(&["legal_host_arches"]))
            .with_hint("choose the config for this architecture, or a host that is in the list"))
    }

    /// A config that does not say which hosts it is for is for all.
    pub(super) fn is_legal_host(&self, arch: &str) -> Result<bool, ConfigError> {
        Ok(match self.get("legal_host_arches")? {
            None | Some(Value::None) => true,
            Some(Value::List(items) | Value::Tuple(items)) => {
                items.iter().any(|item| item.as_str() == Some(arch))
            }
            Some(Value::Set(keys)) => keys.contains(&Key::from(arch)),
            // Python's `in` looks for a part of a string: ('x86_64') is a known slip.
            Some(Value::Str(text)) => text.contains(arch),
            Some(other) => {
                return Err(self.wrong_type(
                    "legal_host_arches",
                    "a list of architectures",
                    &other,
                ));
            }
        })
    }

    pub(super) fn set(&mut self, option: &str, value: Value) {
        self.root.insert(Key::from(option), value);
    }

    pub(super) fn wrong_type(&self, option: &str, wanted: &str, value: &Value) -> ConfigError {
        let message = format!("'{option}' must be {wanted}, but it is {}", value.type_name());
        ConfigError::new(ErrorKind::Type, message)
            .with_location(self.place(&[option]))
            .with_hint("write one name as 'x86_64', a list of them as ('i686', 'x86_64')")
    }

    fn override_with(&mut self, pairs: &[(String, String)]) -> Result<(), ConfigError> {
        for (key, (value, span)) in overrides::read(pairs, &mut self.map)?.iter() {
            let name = real_name(key.as_str().unwrap_or_default()).to_owned();
            // What was set below the option before is gone with its old value.
            self.origins.retain(|path, _| path.first() != Some(&name));
            self.origins.insert(vec![name.clone()], *span);
            self.set(&name, value.clone());
        }
        Ok(())
    }

    fn template_error(&self, failure: Failure) -> ConfigError {
        let (message, hint) = explain(&failure);
        let path: Vec<&str> = failure.path.iter().map(String::as_str).collect();
        let error = ConfigError::new(ErrorKind::Template, message)
            .with_hint(hint)
            .with_location(self.place(&path));
        match failure.reason {
            Reason::Engine(cause) => error.with_source(cause),
            Reason::Unstable(_) | Reason::TooMuch => error,
        }
    }
}

fn real_name(option: &str) -> &str {
    defaults().aliases.get(option).map_or(option, String::as_str)
}

fn shown(options: &OrderedMap<Value>) -> OrderedMap<Value> {
    let shown = |key: &Key| key.as_str().is_none_or(|name| !fill::OF_THE_RUN.contains(&name));
    let entries = options.iter().filter(|(key, _)| shown(key));
    entries.map(|(key, value)| (key.clone(), value.clone())).collect()
}
