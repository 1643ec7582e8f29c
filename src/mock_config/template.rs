//! Expanding `{{ templates }}` in values, the way mock's templated dictionary does: a string is
//! rendered again and again, with the unexpanded options as names, until it no longer changes.
//! Lists and dictionaries are expanded inside, tuples, sets and keys are not.
//!
//! Instructions, recursion and output are bounded. What the engine holds in memory while it renders
//! is not: joining a string with itself again and again stays within the instructions. Whoever loads
//! a config watches the memory of the process as well, as the command line does.

mod context;

use std::io;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::Value as Jinja;
use minijinja::{Environment, UndefinedBehavior};

use super::map::OrderedMap;
use super::value::Value;

/// How often a value is rendered before it has to be stable; an option can change it.
const ROUNDS: i64 = 5;
/// The most that the option may ask for.
const MOST_ROUNDS: i64 = 50;
/// Instructions in one rendering.
const FUEL: u64 = 100_000;
/// Instructions of all renderings of one expansion together; real configs take some thousand.
const ALL_FUEL: u64 = 5_000_000;
/// Bytes of a value that has templates in it. Longer expressions nest deeper than the stack of
/// the engine is high.
const MOST_TEMPLATE: usize = 256 << 10;
/// Bytes of the stack that templates are read and rendered on.
const STACK: usize = 512 << 20;
/// Levels of blocks and macros.
const RECURSION: usize = 100;
/// Bytes that all renderings of one expansion may write together.
const OUTPUT: usize = 32 << 20;

/// Why a value could not be expanded.
#[derive(Debug)]
pub(super) struct Failure {
    /// The keys that lead to the value.
    pub path: Vec<String>,
    pub reason: Reason,
}

#[derive(Debug)]
pub(super) enum Reason {
    Engine(minijinja::Error),
    Unstable(i64),
    TooMuch,
}

/// Expands values against one set of options.
pub(super) struct Expander {
    environment: Environment<'static>,
    context: Jinja,
    rounds: i64,
    fuel: u64,
    output: usize,
    path: Vec<String>,
}

impl Expander {
    pub fn new(options: &OrderedMap<Value>) -> Self {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_syntax(syntax());
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.set_fuel(Some(FUEL));
        environment.set_recursion_limit(RECURSION);
        environment.add_filter("int", context::int);
        environment.add_test("divisibleby", context::is_divisible);
        // Texts, lists and dictionaries have their methods of Python.
        environment
            .set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        let rounds = match options.get_str("jinja_max_recursion") {
            Some(Value::Int(rounds)) => (*rounds).clamp(1, MOST_ROUNDS),
            _ => ROUNDS,
        };
        let context = context::of_options(options);
        Expander { environment, context, rounds, fuel: ALL_FUEL, output: OUTPUT, path: Vec::new() }
    }

    /// Runs `work` with an expander for these options, on a stack that is high enough.
    pub fn with<T: Send>(
        options: &OrderedMap<Value>,
        work: impl FnOnce(&mut Expander) -> T + Send,
    ) -> T {
        let mut work = Some(work);
        let mut run = || work.take().map(|work| work(&mut Expander::new(options)));
        let done = std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(STACK);
            let thread = builder.spawn_scoped(scope, &mut run).ok()?;
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        // A host that has not even that much address space gets by with the stack that there is.
        match done.or_else(run) {
            Some(done) => done,
            None => unreachable!("work is done once"),
        }
    }

    /// Expands all options.
    pub fn all(&mut self, options: &OrderedMap<Value>) -> Result<OrderedMap<Value>, Failure> {
        let mut out = OrderedMap::new();
        for (key, value) in options.iter() {
            out.insert(key.clone(), self.below(key.to_text(), value)?);
        }
        Ok(out)
    }

    /// Expands what is at one key.
    pub fn below(&mut self, key: String, value: &Value) -> Result<Value, Failure> {
        self.path.push(key);
        let value = self.expand(value)?;
        self.path.pop();
        Ok(value)
    }

    fn expand(&mut self, value: &Value) -> Result<Value, Failure> {
        Ok(match value {
            Value::Str(text) => Value::Str(self.render(text)?),
            Value::List(items) => Value::List(
                items
                    .iter()
                    .enumerate()
                    .map(|(at, item)| self.below(at.to_string(), item))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Dict(map) => Value::Dict(self.all(map)?),
            other => other.clone(),
        })
    }

    fn render(&mut self, text: &str) -> Result<String, Failure> {
        let mut last = text.to_owned();
        for _ in 0..self.rounds {
            let next = self.render_once(&last)?;
            if next == last {
                return Ok(next);
            }
            last = next;
        }
        Err(self.failure(Reason::Unstable(self.rounds)))
    }

    fn render_once(&mut self, text: &str) -> Result<String, Failure> {
        // Jinja knows one kind of line end.
        let unified = text.replace("\r\n", "\n").replace('\r', "\n");
        if !["{{", "{%", "{#"].iter().any(|mark| unified.contains(mark)) {
            return Ok(unified);
        }
        if unified.len() > MOST_TEMPLATE || self.fuel == 0 {
            return Err(self.failure(Reason::TooMuch));
        }
        let mut out = Limited { bytes: Vec::new(), left: self.output };
        self.environment.set_fuel(Some(self.fuel.min(FUEL)));
        let rendered = self.environment.template_from_str(&unified).and_then(|template| {
            let state = template.render_captured_to(&self.context, &mut out)?;
            Ok(state.state().fuel_levels().map_or(0, |(used, _)| used))
        });
        let full = out.left == 0;
        match rendered {
            Ok(used) => self.fuel = self.fuel.saturating_sub(used.max(1)),
            Err(error) => {
                let reason = if full { Reason::TooMuch } else { Reason::Engine(error) };
                return Err(self.failure(reason));
            }
        }
        self.output = out.left;
        Ok(String::from_utf8_lossy(&out.bytes).into_owned())
    }

    fn failure(&self, reason: Reason) -> Failure {
        Failure { path: self.path.clone(), reason }
    }
}

/// Jinja's usual marks, with the newline at the end of a value kept.
fn syntax() -> SyntaxConfig {
    let mut builder = SyntaxConfig::builder();
    builder.keep_trailing_newline(true);
    builder.build().expect("only delimiters can be wrong, and these are the default ones")
}

/// A buffer that ends.
struct Limited {
    bytes: Vec<u8>,
    left: usize,
}

impl io::Write for Limited {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        match self.left.checked_sub(data.len()) {
            Some(left) => self.left = left,
            None => {
                self.left = 0;
                return Err(io::Error::other("the rendered text is too large"));
            }
        }
        self.bytes.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The failure as a sentence and a hint.
pub(super) fn explain(failure: &Failure) -> (String, String) {
    let option = failure.path.join(" → ");
    match &failure.reason {
        Reason::Engine(error) => {
            let line = error.line().map_or(String::new(), |line| format!(" in its line {line}"));
            let message = format!("the template in '{option}' cannot be expanded{line}");
            use minijinja::ErrorKind as Kind;
            let hint = match error.kind() {
                Kind::UnknownFilter | Kind::UnknownTest | Kind::UnknownFunction => {
                    "there are Jinja's usual filters, tests and functions"
                }
                Kind::UnknownMethod => {
                    "texts, lists and dictionaries have the common methods of Python"
                }
                Kind::OutOfFuel => "no config needs so much work; write the value itself",
                Kind::SyntaxError => {
                    "write {% raw %}…{% endraw %} around braces that are not a template"
                }
                _ => "look at the values that the template uses: albs-node config show --raw",
            };
            (message, hint.to_owned())
        }
        Reason::Unstable(rounds) => (
            format!("the template in '{option}' still changes after {rounds} expansions"),
            "look for options that refer to each other in a circle".to_owned(),
        ),
        Reason::TooMuch => (
            format!("the template in '{option}' is too large, or too much work"),
            format!(
                "a template may have {} KiB, and all expanded options together {} MiB",
                MOST_TEMPLATE >> 10,
                OUTPUT >> 20
            ),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expand(options: &[(&str, Value)], text: &str) -> Result<Value, Failure> {
        let options = options.iter().map(|(key, value)| ((*key).into(), value.clone())).collect();
        Expander::new(&options).below("x".to_owned(), &Value::from(text))
    }

    fn text(options: &[(&str, Value)], template: &str) -> String {
        expand(options, template).unwrap().to_string()
    }

    #[test]
    fn values_print_as_python_prints_them() {
        let list = Value::List(vec![Value::from("a"), Value::Int(1)]);
        let options = [("t", Value::Bool(true)), ("n", Value::None), ("l", list)];
        assert_eq!(
            text(&options, "{{ t }} {{ not t }} {{ n }} {{ l }}"),
            "\"True False None ['a', 1]\""
        );
    }

    #[test]
    fn unknown_names_are_empty_and_not_none() {
        assert_eq!(text(&[], "<{{ x }}{% if x != None %}!{% endif %}>\n"), "'<!>\\n'");
    }

    #[test]
    fn names_lead_to_templates_until_nothing_changes() {
        let options = [("a", Value::from("{{ b }}!")), ("b", Value::from("c"))];
        assert_eq!(text(&options, "{{ a }}"), "'c!'");
        let circle = [("a", Value::from("{{ a }}x"))];
        let failure = expand(&circle, "{{ a }}").unwrap_err();
        assert!(matches!(failure.reason, Reason::Unstable(5)));
    }

    #[test]
    fn a_rendering_is_bounded() {
        let loops = "{% for a in range(9999) %}{% for b in range(9999) %}x{% endfor %}{% endfor %}";
        assert!(matches!(expand(&[], loops).unwrap_err().reason, Reason::Engine(_)));
        let options = [("big", Value::Str("x".repeat(1 << 20)))];
        let large = "{% for a in range(999) %}{{ big }}{% endfor %}";
        assert!(matches!(expand(&options, large).unwrap_err().reason, Reason::TooMuch));
    }
}
