use super::*;
use crate::profile::Permission;

const HOST: HostSize = HostSize {
    disk: None,
    pids: 32_768,
    memory_bytes: 16 << 30,
    swap_bytes: 8 << 30,
    cpus: 8,
    disk_bytes: 100 << 30,
    inodes: 1_000_000,
    slots: 4,
};

fn built_in() -> Policy {
    Policy::load(Path::new("/nonexistent")).unwrap()
}

#[test]
fn every_class_on_a_host() {
    let policy = built_in();
    let all: Vec<Effective> = policy
        .classes
        .keys()
        .map(|class| effective(&policy, &HOST, Some(class), None, &[]).unwrap())
        .collect();
    insta::assert_json_snapshot!(all);
}

#[test]
fn the_command_line_goes_before() {
    let overrides = [Override {
        resource: Resource::Memory,
        number: Some(f64::from(1 << 30)),
        from: "--memory".to_owned(),
    }];
    let chosen = effective(&built_in(), &HOST, Some("small"), None, &overrides).unwrap();
    let limits = chosen.limits();
    assert_eq!(limits.memory_bytes, Some(sandbox::spec::Limit::required(1 << 30)));
    // 90% of what it is now.
    assert_eq!(limits.memory_high_bytes.unwrap().value, (1 << 30) * 9 / 10);
    assert_eq!(limits.swap_bytes, Some(sandbox::spec::Limit::optional(0)));
}

#[test]
fn shared_limits_count_where_builds_are_not_alone() {
    let mut policy = built_in();
    let written = |policy: &Policy, slots, class| {
        let host = HostSize { slots, ..HOST };
        effective(policy, &host, Some(class), None, &[]).unwrap().number(Resource::IoWrite)
    };
    for class in ["default", "small", "large", "nested"] {
        assert_eq!(written(&policy, 1, class), None, "{class}");
        assert_eq!(written(&policy, 2, class), Some(400 << 20), "{class}");
    }
    let text = "[class.own]\nwhy = 'ours'\nlike = 'default'\nlimits = { io_write = '1G' }\n";
    policy.put(Policy::parse("x", text).unwrap());
    assert_eq!(written(&policy, 2, "own"), Some(1 << 30));
    policy.put_first([(Resource::IoWrite, Amount("none".to_owned()))].into());
    assert_eq!(written(&policy, 2, "default"), None);
}

#[test]
fn packages_have_classes() {
    let mut policy = built_in();
    let text = "[[package]]\npattern = 'kernel*'\nclass = 'large'\n\
                [class.small]\nwhy = 'ours'\nlimits = { memory = '1G' }\n";
    policy.put(Policy::parse("x", text).unwrap());
    let class = |name| effective(&policy, &HOST, None, Some(name), &[]).unwrap();
    assert_eq!(class("kernel-rt").class, "large");
    assert_eq!(class("hello").class, "default");
    assert_eq!(policy.classes["small"].why, "ours");
    for (pattern, name, expected) in [
        ("a*", "abc", true),
        ("*c", "abc", true),
        ("a*c", "abc", true),
        ("*b*", "abc", true),
        ("a*b*c*", "aabbcc", true),
        ("abc", "abcd", false),
        ("a*d", "abc", false),
        ("ab*bc", "abc", false),
        ("*", "", true),
    ] {
        assert_eq!(matches(pattern, name), expected, "{pattern} {name}");
    }
}

#[test]
fn what_a_class_allows_is_inherited_until_one_says_otherwise() {
    let mut policy = built_in();
    let text = "[class.browser]\nwhy = 'ours'\nlike = 'nested'\n\
                [class.calm]\nwhy = 'ours'\nlike = 'nested'\nallow = []\n\
                [[package]]\npattern = 'bubblewrap'\nclass = 'nested'\n";
    policy.put(Policy::parse("x", text).unwrap());
    let allowed = |class: Option<&str>, package: &str| {
        effective(&policy, &HOST, class, Some(package), &[]).unwrap().allowed
    };
    let namespaces = [Permission::UserNamespaces];
    for class in ["default", "small", "large", "calm"] {
        assert_eq!(allowed(Some(class), "bubblewrap"), [], "{class}");
    }
    assert_eq!(allowed(Some("browser"), "x"), namespaces);
    assert_eq!(allowed(None, "bubblewrap"), namespaces);
    assert_eq!(allowed(None, "bubblewrap-not"), []);
}

#[test]
fn mistakes_are_told() {
    let message = |text: &str| {
        let error = match Policy::parse("x", text) {
            Err(error) => return error.to_string(),
            Ok(policy) => effective(&policy, &HOST, Some("a"), None, &[]).unwrap_err(),
        };
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    };
    assert_eq!(
        message("[class.b]\nwhy='x'\n"),
        "there is no class \"a\" of resources; there are b"
    );
    assert_eq!(
        message("[class.a]\nwhy='x'\nlike='a'\n"),
        "the class \"a\" of resources is like itself"
    );
    assert_eq!(
        message("[class.a]\nwhy='x'\nlimits={memory='4X'}\n"),
        "class \"a\": memory = 4X: a size is expected, like 512M, 4G or 50%"
    );
    assert_eq!(
        message("[class.a]\nwhy='x'\nlimits={pids='5%'}\n"),
        "class \"a\": pids = 5%: a share of the host has no meaning for it"
    );
    assert_eq!(
        message("[class.a]\nwhy='x'\nlimits={pids='5%/cpu'}\n"),
        "class \"a\": pids = 5%/cpu: a number is expected, like 4096 or 2048/cpu"
    );
    assert_eq!(message("[class.a]\nwhy='x'\nlimits={memori='4G'}\n"), "x is not valid");
    assert_eq!(message("[class.a]\nwhy='x'\nallow=['everything']\n"), "x is not valid");
    assert_eq!(message("[class.a]\n"), "x is not valid");
}
