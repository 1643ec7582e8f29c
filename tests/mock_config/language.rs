//! The language, in one config that uses all of it.

use albs_node::mock_config::{Value, load};

use crate::{configs, request};

#[test]
fn all_constructs() {
    let config = load(&request("language", &configs().join("system"))).unwrap();
    let Value::Dict(options) = config.expanded().unwrap() else { panic!("no dictionary") };
    let of_interest = ["dnf4_common_opts", "use_bootstrap"];
    let shown: Vec<String> = options
        .iter()
        .filter_map(|(key, value)| Some((key.as_str()?, value)))
        .filter(|(key, _)| key.starts_with("t_") || of_interest.contains(key))
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    insta::assert_snapshot!(shown.join("\n"));
    assert_eq!(config.notes.len(), 1, "{:?}", config.notes);
}

#[test]
fn an_option_remembers_where_it_was_set() {
    let config = load(&request("demo", &configs().join("system"))).unwrap();
    let place = |path: &[&str]| {
        let place = config.place(path).map(|place| place.to_string()).unwrap_or("default".into());
        place.replace(&configs().display().to_string(), "")
    };
    assert_eq!(place(&["root"]), "/system/templates/base.tpl:1:23");
    assert_eq!(place(&["yum.conf"]), "/system/templates/extra.tpl:2:28");
    assert_eq!(place(&["macros", "%vendor"]), "/system/demo.cfg:6:36");
    assert_eq!(place(&["macros", "%_topdir"]), "default");
}
