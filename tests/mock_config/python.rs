//! The language against Python itself: the same programs, the same values, the same mistakes.
//!
//! Whatever Python computes, a config must give too, or be refused with an error; it must never
//! give something else. In the list of known programs nothing may be refused.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use albs_node::mock_config::{Value, load};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::request;

/// Runs programs and prints what each made of `config_opts['x']`, or that it failed.
const RUNNER: &str = r#"
import json, os, sys
def literal(value):
    if isinstance(value, (set, frozenset)):
        if not value: return 'set()'
        return '{' + ', '.join(literal(v) for v in sorted(value, key=lambda v: (str(type(v)), v))) + '}'
    if isinstance(value, dict):
        return '{' + ', '.join(literal(k) + ': ' + literal(v) for k, v in value.items()) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(map(literal, value)) + ']'
    if isinstance(value, tuple):
        return '(' + ', '.join(map(literal, value)) + (',)' if len(value) == 1 else ')')
    if value is None or isinstance(value, (bool, int, float, str)):
        return repr(value)
    raise TypeError
out = []
for program in json.load(sys.stdin):
    config_opts = {'root': 'r', 'x': None}
    try:
        exec(program, {'config_opts': config_opts, 'os': os, 'print': lambda *a: None})
        out.append(literal(config_opts['x']))
    except Exception:
        out.append(None)
json.dump(out, sys.stdout)
"#;

pub(crate) fn python(programs: &[String]) -> Vec<Option<String>> {
    let mut child = Command::new("python3")
        .args(["-W", "ignore", "-c", RUNNER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let text = serde_json::to_vec(programs).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

fn ours(program: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.cfg");
    let start = "config_opts['root'] = 'r'; config_opts['x'] = None\n";
    std::fs::write(&file, format!("{start}{program}\n")).unwrap();
    let config = load(&request(&file.display().to_string(), Path::new("/nonexistent")))
        .map_err(|error| error.render())?;
    Ok(config.raw().get("x").map(Value::to_string).unwrap_or_default())
}

/// Every line is an expression, or a program that ends by setting `x`.
fn known() -> Vec<String> {
    let text = include_str!("python.txt");
    text.split("\n---\n")
        .flat_map(|part| match part.strip_prefix("program\n") {
            Some(program) => vec![program.to_owned()],
            None => part
                .lines()
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(|line| format!("config_opts['x'] = {line}"))
                .collect(),
        })
        .collect()
}

#[test]
fn known_programs_give_the_same() {
    let programs = known();
    assert!(programs.len() > 300, "{} programs", programs.len());
    let mut wrong = Vec::new();
    for (program, python) in programs.iter().zip(python(&programs)) {
        let ours = ours(program);
        let same = match (&python, &ours) {
            (Some(python), Ok(ours)) => python == ours,
            (None, Err(_)) => true,
            _ => false,
        };
        if !same {
            wrong.push(format!("{program}\n  Python: {python:?}\n  here:   {ours:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "", "a", "ab c", " x ", "A-b", "1", "-7", "{}", "%s", "é", "a\\nb", "a,b,,c"
        ])
        .prop_map(|text| format!("'{text}'")),
        "[a-c ,]{0,6}".prop_map(|text| format!("'{text}'")),
    ]
}

fn format_spec() -> impl Strategy<Value = String> {
    let flags = prop::sample::select(vec!["", "<", ">", "^", "*^", "=", "0=", "x<"]);
    let rest = prop::sample::select(vec![
        "", "5", "08", ",", "_", ".2", ".0f", "8.3f", "#x", "x", "b", "o", "d", "+d", " d", "e",
        "+.3e", "g", "G", ".3g", "%", ".1%", "s", ".2s", "c", "#b", "010,", "12_x", "n", "f", "E",
    ]);
    (flags, rest).prop_map(|(flags, rest)| format!("{flags}{rest}"))
}

fn percent_spec() -> impl Strategy<Value = String> {
    let flags = prop::sample::select(vec!["", "-", "0", "+", " ", "#", "-0", "+0", "#0"]);
    let size = prop::sample::select(vec!["", "5", "9", ".2", "7.3", ".0", "1"]);
    let code =
        prop::sample::select(vec!["d", "s", "r", "x", "X", "o", "f", "e", "g", "G", "i", "c", "a"]);
    (flags, size, code).prop_map(|(flags, size, code)| format!("%{flags}{size}{code}"))
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        (-20i64..20).prop_map(|number| format!("({number})")),
        any::<i32>().prop_map(|number| format!("({number})")),
        prop::sample::select(vec![
            "0.5",
            "1e20",
            "1e-7",
            "(-2.675)",
            "123456.789",
            "100.0",
            "True",
            "0.1",
            "2.5"
        ])
        .prop_map(str::to_owned),
    ]
}

/// An expression, of one of the kinds that come in configs.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![text(), number(), Just("None".to_owned())];
    leaf.prop_recursive(3, 24, 4, |inner| {
        let inner = inner.boxed();
        let two = (inner.clone(), inner.clone());
        let operator = prop::sample::select(vec![
            "+", "-", "*", "/", "//", "%", "==", "!=", "<", ">=", "in", "not in", "and", "or", "&",
            "|", "^", "<<", ">>",
        ]);
        let call = prop::sample::select(vec![
            "len",
            "str",
            "repr",
            "list",
            "tuple",
            "sorted",
            "bool",
            "int",
            "float",
            "sum",
            "max",
            "min",
            "any",
            "all",
            "abs",
            "round",
            "set",
            "dict",
            "hex",
            "ord",
            "list(reversed",
            "list(enumerate",
            "list(range",
        ]);
        let method = prop::sample::select(vec![
            "upper()",
            "lower()",
            "title()",
            "capitalize()",
            "swapcase()",
            "strip()",
            "lstrip('a ')",
            "rstrip()",
            "split()",
            "split(',')",
            "split(',', 1)",
            "rsplit(None, 1)",
            "rsplit(',', 1)",
            "split(None, 1)",
            "splitlines()",
            "splitlines(True)",
            "replace('a', 'xy')",
            "replace('', '-', 2)",
            "startswith('a')",
            "endswith(('b', ''))",
            "find('a')",
            "rfind('b', 1)",
            "count('')",
            "count('a', 1, 3)",
            "index('a')",
            "partition(',')",
            "rpartition(' ')",
            "zfill(5)",
            "center(6, '*')",
            "ljust(4)",
            "rjust(5)",
            "expandtabs()",
            "isdigit()",
            "isalpha()",
            "isupper()",
            "isspace()",
            "removeprefix('a')",
            "join(['p', 'q'])",
            "keys()",
            "copy()",
            "index(1)",
            "get('a')",
            "items()",
        ]);
        prop_oneof![
            (two.clone(), operator).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
            (call, inner.clone()).prop_map(|(call, a)| {
                let close = if call.contains('(') { "))" } else { ")" };
                format!("{call}({a}{close}")
            }),
            (inner.clone(), method).prop_map(|(a, method)| format!("({a}).{method}")),
            (text(), prop_oneof![text(), number()], format_spec())
                .prop_map(|(_, value, spec)| format!("'{{:{spec}}}'.format({value})")),
            (prop_oneof![text(), number()], format_spec())
                .prop_map(|(value, spec)| format!("f\"{{{value}:{spec}}}\"")),
            (prop_oneof![text(), number()], percent_spec())
                .prop_map(|(value, spec)| format!("'{spec}' % {value}")),
            prop::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(inner.clone(), 1..4)
                .prop_map(|items| format!("({},)", items.join(", "))),
            prop::collection::vec((text(), inner.clone()), 0..3).prop_map(|pairs| {
                let pairs: Vec<_> =
                    pairs.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", pairs.join(", "))
            }),
            (inner.clone(), -4i64..4, -4i64..4)
                .prop_map(|(a, from, to)| format!("({a})[{from}:{to}]")),
            (inner.clone(), -4i64..4).prop_map(|(a, at)| format!("({a})[{at}]")),
            (inner.clone(), prop::sample::select(vec![-2, -1, 1, 2]))
                .prop_map(|(a, step)| format!("({a})[::{step}]")),
            two.clone().prop_map(|(a, b)| format!("[(i, {b}) for i in {a} if i]")),
            two.prop_map(|(a, b)| format!("({a} if {b} else 'other')")),
            // What older versions of Python cannot put into an f-string is left out.
            inner.prop_map(|a| match a.contains("'''") || a.contains('\\') {
                true => a,
                false => format!("f'''<{{({a})!r}}>'''"),
            }),
        ]
    })
}

#[test]
fn random_expressions_give_the_same_or_are_refused() {
    const MANY: usize = 3000;
    let seed = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), seed);
    let strategy = expression();
    let programs: Vec<String> = (0..MANY)
        .map(|_| strategy.new_tree(&mut runner).unwrap().current())
        .map(|expression| format!("config_opts['x'] = {expression}"))
        .collect();
    let mut wrong = Vec::new();
    let (mut valued, mut refused) = (0, Vec::new());
    for (program, python) in programs.iter().zip(python(&programs)) {
        match (&python, ours(program)) {
            (Some(python), Ok(ours)) if *python == ours => valued += 1,
            (_, Ok(ours)) => {
                wrong.push(format!("{program}\n  Python: {python:?}\n  here:   {ours}"))
            }
            (Some(python), Err(error)) => {
                refused.push(format!("{program}\n  Python: {python}\n  {error}"))
            }
            (None, Err(_)) => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let most = MANY / 50;
    assert!(refused.len() < most, "{} are refused:\n{}", refused.len(), refused.join("\n"));
    assert!(valued > MANY / 4, "only {valued} have a value");
}
