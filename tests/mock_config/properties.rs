//! What holds for every text and every value.

use std::path::Path;
use std::time::Duration;

use albs_node::mock_config::{ConfigError, Key, LoadedConfig, Value, load};
use proptest::prelude::*;

use crate::request;

fn load_bytes(bytes: &[u8]) -> Result<LoadedConfig, ConfigError> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("t.cfg");
    std::fs::write(&file, bytes).unwrap();
    load(&request(&file.display().to_string(), Path::new("/nonexistent")))
}

/// Runs everything that reads the text, and renders what is said about it.
fn try_all(bytes: &[u8]) {
    let outcome = load_bytes(bytes).and_then(|config| {
        config.expanded()?;
        config.options()
    });
    if let Err(error) = outcome {
        assert!(!error.render().is_empty());
    }
}

/// Pieces of the language, so that texts get further than the first character.
fn piece() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "config_opts",
        "['root']",
        "[",
        "]",
        "(",
        ")",
        "{",
        "}",
        "'a'",
        "\"\"\"",
        "'",
        "\\",
        "\n",
        "\n    ",
        " = ",
        " += ",
        ", ",
        ":",
        ".append(",
        ".update(",
        ".format(",
        "include(",
        "x",
        "1",
        "1.5",
        " if ",
        " else ",
        " in ",
        " not ",
        " and ",
        "-",
        " % ",
        " * ",
        "#",
        "None",
        "True",
        "'{{ root }}'",
        "'{% if %}'",
        "%s",
        "r'",
        "f'",
        "\t",
        "ä",
        "\u{feff}",
        "\0",
        ";",
        "==",
        "for ",
        "for i in ",
        "if 1:",
        "else:",
        "del ",
        "*",
        "**",
        "f'{",
        "}'",
        "!r",
        ":>5",
        "range(9)",
        ".split(",
        ".items()",
        ".join(",
        "sorted(",
        "os.path.",
        "os.environ",
        "import os",
        "print(",
        " | ",
        "[::2]",
        "'%5.2f'",
        "lambda ",
    ])
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::None),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>()
            .prop_filter("the literal is a negation", |n| *n != i64::MIN)
            .prop_map(Value::Int),
        prop::num::f64::NORMAL.prop_map(Value::Float),
        any::<String>().prop_map(Value::Str),
        r#"['"\\\n\r\t{}%a-c]{0,8}"#.prop_map(Value::Str),
        prop::collection::btree_set(key(), 0..4).prop_map(Value::Set),
    ];
    leaf.prop_recursive(4, 40, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::List),
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::Tuple),
            prop::collection::vec((key(), inner), 0..5)
                .prop_map(|entries| Value::Dict(entries.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = Key> {
    prop_oneof![
        Just(Key::None),
        any::<i32>().prop_map(|number| Key::Int(number.into())),
        any::<String>().prop_map(Key::Str),
        prop::collection::vec("[a-z]{0,3}".prop_map(Key::Str), 0..3).prop_map(Key::Tuple),
    ]
}

/// Processor time of this thread, which does not depend on what else the machine does.
fn own_time() -> Duration {
    nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap().into()
}

#[test]
fn what_is_large_or_deep_ends_soon() {
    const SIZE: usize = 200_000;
    let nested =
        |depth: usize| format!("config_opts['x'] = {}{}\n", "[".repeat(depth), "]".repeat(depth));
    let programs = [
        nested(95),
        nested(SIZE),
        "\n".repeat(SIZE),
        "include('a') ".repeat(SIZE / 13),
        "(".repeat(SIZE),
        "not ".repeat(SIZE / 4),
        "- ".repeat(SIZE / 2),
        format!("x = {}1\n", "1 + ".repeat(SIZE / 4)),
        format!("x = {}1\n", "1 if 1 else ".repeat(SIZE / 12)),
        format!("x = a{}\n", "[0]".repeat(SIZE / 3)),
        "a = 1\n".repeat(SIZE / 6),
        "config_opts['macros']['a'] = 1; ".repeat(SIZE / 32),
        (0..SIZE / 40).map(|at| format!("config_opts['macros']['m{at}'] = 1\n")).collect(),
        format!("a = [0] * 100000\n{}", "a == a\n".repeat(SIZE / 7)),
        format!("a = 'x' * 1000000\n{}", "a in a\n".repeat(SIZE / 7)),
        "a = []\na.append(a)\na == a\n".to_owned(),
        "a = []\na.append(a)\nsorted([a, a])\n".to_owned(),
        "a = []\na.append(a)\nstr(a)\n".to_owned(),
        "a = [1]\nfor i in a: a.append(i)\n".to_owned(),
        "x = 'a'\nfor i in range(100): x += x\n".to_owned(),
        "x = ('a' * 1000000).replace('', 'b' * 1000000)\n".to_owned(),
        "x = ('a' * 1000000).join(['b'] * 1000000)\n".to_owned(),
        "x = 'a'.ljust(10 ** 12)\n".to_owned(),
        "x = '\\t'.expandtabs(10 ** 12)\n".to_owned(),
        "x = '{:>{}}'.format(1, 10 ** 12)\n".to_owned(),
        "x = '%.*f' % (10 ** 9, 1.0)\n".to_owned(),
        "x = list(range(10 ** 18))\n".to_owned(),
        "x = 2 ** (10 ** 18)\n".to_owned(),
        "x = 1 << (10 ** 18)\n".to_owned(),
        "for i in range(10 ** 18): pass\n".to_owned(),
        "x = [0 for i in range(1000) for j in range(1000) for k in range(1000)]\n".to_owned(),
        "x = [[0] * 100000]\nfor i in range(10000): str(x)\n".to_owned(),
        "x = {i: i for i in range(30000)}\nfor i in range(30000): del x[i]\n".to_owned(),
        "x = {i: i for i in range(30000)}\nfor i in range(30000): x.copy()\n".to_owned(),
        "x = list(range(30000))\nfor i in range(30000): x.insert(0, i)\n".to_owned(),
        "x = set(range(30000))\nfor i in range(30000): x.add(i)\n".to_owned(),
        "x = 'a b ' * 100000\nfor i in range(30000): x.split()\n".to_owned(),
        "x = 'ab' * 100000\nfor i in range(30000): x[1:]\n".to_owned(),
        "x = 'a' * 100000\nfor i in range(30000): x.find('b')\n".to_owned(),
        (0..50)
            .map(|at| format!("{}for i{at} in range(2):\n", " ".repeat(at)))
            .chain([" ".repeat(50) + "pass\n"])
            .collect(),
        format!("x = f'{}{}'\n", "{f'".repeat(SIZE / 6), "'}".repeat(SIZE / 6)),
        format!("x = f'{}1'\n", "{1}".repeat(SIZE / 3)),
        "x = f'{1:{2:{3:{4:{5}}}}}'\n".to_owned(),
        format!("x = {}1{}\n", "[i for i in ".repeat(SIZE / 12), "]".repeat(SIZE / 12)),
        format!("x = {}1{}\n", "[*".repeat(SIZE / 3), "]".repeat(SIZE / 3)),
        format!("x = {}1{}\n", "{**".repeat(SIZE / 4), "}".repeat(SIZE / 4)),
        format!("x = a{}1{}\n", "[1:".repeat(SIZE / 4), "]".repeat(SIZE / 4)),
        format!("for {}x in y: pass\n", "(".repeat(SIZE)),
        format!("x = {}1\n", "1 ** ".repeat(SIZE / 5)),
        format!("x = {}\n", "f(".repeat(SIZE / 2)),
        format!("x = [1 {}]\n", "for i in [1] ".repeat(SIZE / 13)),
        format!("if 1: pass\n{}", "elif 1: pass\n".repeat(SIZE / 13)),
        format!("config_opts['x'] = '{}'\n", "{{ x }}".repeat(SIZE / 7)),
        format!("config_opts['x'] = '{}'\n", "{% if 1 %}".repeat(SIZE / 10)),
        format!("config_opts['x'] = '{{{{ {}1 }}}}'\n", "(".repeat(SIZE)),
        format!("config_opts['x'] = '{{{{ {}1 }}}}'\n", "1 + ".repeat(SIZE / 4)),
        format!("config_opts['x'] = '{{{{ {}1 }}}}'\n", "not ".repeat(SIZE / 4)),
    ];
    for program in programs {
        let shown: String = program.chars().take(40).collect();
        // The last one shown is the one that ended the whole test, if the stack was not enough.
        println!("{shown:?}");
        let start = own_time();
        try_all(program.as_bytes());
        let seconds = (own_time() - start).as_secs();
        assert!(seconds < 20, "{shown}… takes {seconds} s");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        try_all(&bytes);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        try_all(text.as_bytes());
    }

    #[test]
    fn no_program_makes_it_panic(pieces in prop::collection::vec(piece(), 0..40)) {
        try_all(pieces.concat().as_bytes());
    }

    #[test]
    fn a_printed_value_reads_back(value in value()) {
        let text = format!("config_opts['root'] = 'x'\nconfig_opts['value'] = {value}\n");
        let config = load_bytes(text.as_bytes()).map_err(|error| TestCaseError::fail(error.render()))?;
        let raw = config.raw();
        prop_assert_eq!(raw.get("value"), Some(&value));
    }
}
