//! Roots that start from images.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use tar::EntryType;

use crate::case::{Case, host};
use crate::fixture::Kind;
use crate::oci::{Layout, Registry, Tar, distribution};

/// The host has no package manager for the runs of this test.
pub(crate) fn without_dnf(case: &mut Case) {
    let script = "for program in dnf dnf-3 dnf5 yum microdnf; do
                      [ ! -e /usr/bin/$program ] || mount --bind /dev/null /usr/bin/$program || exit 99
                  done; exec \"$@\"";
    case.prefix = ["unshare", "-m", "sh", "-c", script, "sh"].map(str::to_owned).to_vec();
}

/// Lines that make `image` that of a kind of root.
pub(crate) fn image(kind: &str, image: &str, more: &[(&str, &str)]) -> String {
    let used = if kind == "bootstrap" { "config_opts['use_bootstrap'] = True\n" } else { "" };
    let options = more
        .iter()
        .map(|(option, value)| format!("config_opts['{kind}_image_{option}'] = {value}\n"));
    format!(
        "{used}config_opts['use_{kind}_image'] = True\nconfig_opts['{kind}_image'] = '{image}'\n"
    ) + &options.collect::<String>()
}

/// The tree of the only root whose name has this text.
pub(crate) fn tree(case: &Case, text: &str) -> PathBuf {
    let roots = fs::read_dir(case.store.join("roots")).unwrap();
    let trees = roots.map(|entry| entry.unwrap().path().join("root"));
    let of_text = |tree: &PathBuf| tree.is_dir() && tree.to_string_lossy().contains(text);
    let trees: Vec<PathBuf> = trees.filter(of_text).collect();
    assert_eq!(trees.len(), 1, "{trees:?}");
    trees[0].clone()
}

#[test]
fn a_host_without_dnf_builds() {
    for kind in Kind::possible(&[Kind::Subids, Kind::Root, Kind::NoSubids]) {
        let Some(mut case) = Case::alone(kind, "without-dnf") else { return };
        let registry = Registry::start(&case.dir.join("registry"), "", "");
        registry.push(distribution(&case), "local/linux:1");
        without_dnf(&mut case);
        case.run(&["init", "-r", &case.config()]).fails(30, "this host has none");

        // What its dnf lacks, it installs itself.
        let name = format!("{}/local/linux:1", registry.address);
        let install = "config_opts['dnf4_install_command'] = 'install dnf-plugins-core'\n";
        let lock = "config_opts['plugin_conf']['buildroot_lock_enable'] = True\n";
        let config = case.config_plus("image", &(image("bootstrap", &name, &[]) + install + lock));
        let spec = case.spec("bad/small");
        let empty = case.fixture.base.join("empty").display().to_string();
        let result = case.result("result").display().to_string();
        let build = ["build", "-r", &config, "--spec", &spec, "--sources", &empty];
        let run = case.run(&[&build[..], &["--resultdir", &result]].concat());
        run.succeeds();
        run.tells(&format!("starting from the image {name}"));
        case.nothing_left();
        assert!(!tree(&case, "-bootstrap-").with_file_name("tools").exists());

        let lock: serde_json::Value =
            serde_json::from_str(&case.log("buildroot_lock.json")).unwrap();
        let bootstrap = &lock["bootstrap"];
        assert_eq!(bootstrap["pull_digest"], registry.digest("local/linux:1"));
        assert_eq!(bootstrap["architecture"], "amd64");
        assert_eq!(lock["config"]["bootstrap_image"], *name);
        for digest in ["image_digest", "id"] {
            let text = bootstrap[digest].as_str().unwrap();
            assert!(text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()), "{text}");
        }
    }
}

#[test]
fn images_that_make_no_root_are_told() {
    let Some(mut case) = Case::alone(Kind::Subids, "image-none") else { return };
    without_dnf(&mut case);
    let rpm = Tar::new().entry(EntryType::Regular, "usr/bin/rpm", 0o755, 0, "#!/bin/sh\n");
    let images = [
        (Tar::new().file("a", ""), "has no rpm", 20),
        (rpm, "the bootstrap root has no dnf4 (/usr/bin/dnf-3) to install others with", 30),
    ];
    for (number, (layer, text, status)) in images.into_iter().enumerate() {
        let small = Layout::new(&case.dir.join(number.to_string()), &[layer.end()]);
        let lines = image("bootstrap", &format!("oci:{}", small.dir.display()), &[]);
        let run = case.run(&["init", "-r", &case.config_plus("image", &lines)]);
        run.fails(status, text);
        run.tells("hint: choose");
        case.nothing_left();
    }
}

#[test]
fn layers_become_a_tree() {
    for kind in Kind::possible(&[Kind::Root, Kind::Subids, Kind::NoSubids]) {
        let Some(case) = Case::alone(kind, "image-layers") else { return };
        let base = distribution(&case);
        let lower = Tar::new()
            .file("l/gone", "")
            .file("l/kept", "")
            .file("l/deep/a", "")
            .file("opaque/lower", "")
            .file("replaced", "lower")
            .entry(EntryType::Directory, "file-now/x/", 0o755, 0, "")
            .link("link", "l")
            .file("etc/rpm/macros.image-language-conf", "%_install_langs C")
            .end();
        // cap_net_raw+ep, as in the extended attribute of ping.
        let capability = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        let upper = Tar::new()
            .file("l/.wh.gone", "")
            .file("l/.wh.deep", "")
            .file("opaque/upper", "")
            .file("opaque/.wh..wh..opq", "")
            .file("opaque/.wh..wh..plnk", "")
            .file("replaced", "upper")
            .file("file-now", "")
            .file("link/through", "")
            .entry(EntryType::Link, "hard", 0o644, 0, "replaced")
            .entry(EntryType::Regular, "setuid", 0o4755, 7, "")
            .attribute("security.capability", &capability)
            .entry(EntryType::Regular, "capable", 0o755, 0, "")
            .entry(EntryType::Fifo, "fifo", 0o600, 0, "")
            .entry(EntryType::Char, "device", 0o666, 0, "")
            .entry(EntryType::Directory, "sticky/", 0o1777, 3, "")
            .end();
        let layout = base.and(&case.dir.join("1"), &lower).and(&case.dir.join("2"), &upper);
        let name = format!("oci:{}:latest", layout.dir.display());
        let lines = image("buildroot", &name, &[("ready", "True")]);
        let config = case.config_plus("image", &lines);
        case.run(&["init", "-r", &config]).succeeds();
        case.nothing_left();
        // Files of local images are not kept.
        let blobs = case.store.join("images/sha256");
        assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);

        let tree = tree(&case, "local");
        let there = |path: &str| fs::symlink_metadata(tree.join(path)).is_ok();
        for gone in [
            "l/gone",
            "l/deep",
            "opaque/lower",
            "l/.wh.gone",
            "opaque/.wh..wh..opq",
            "opaque/.wh..wh..plnk",
            "device",
            "etc/rpm/macros.image-language-conf",
        ] {
            assert!(!there(gone), "{gone}");
        }
        for kept in ["l/kept", "opaque/upper", "l/through", "fifo", "usr/bin/dnf-3"] {
            assert!(there(kept), "{kept}");
        }
        assert_eq!(fs::read_to_string(tree.join("replaced")).unwrap(), "upper");
        let data = |path: &str| fs::metadata(tree.join(path)).unwrap();
        assert!(data("file-now").is_file());
        assert_eq!(data("hard").ino(), data("replaced").ino());
        assert_eq!(data("setuid").mode() & 0o7777, 0o4755);
        assert_eq!(data("sticky").mode() & 0o7777, 0o1777);
        assert_eq!(data("sticky").mtime(), 1_000_000_000);
        let inside = |argv: &[&str]| {
            let run = case.run(&[&["shell", "-q", "-r", &config, "--"], argv].concat());
            run.succeeds();
            run.stdout.trim().to_owned()
        };
        let owners = if kind == Kind::NoSubids { "0:0 0" } else { "7:7 3" };
        let owner = inside(&["stat", "-c", "%u:%g", "/setuid"]);
        let directory = inside(&["stat", "-c", "%u", "/sticky"]);
        assert_eq!(format!("{owner} {directory}"), owners);
        assert!(xattr::get(tree.join("capable"), "security.capability").unwrap().is_some());
        // Its database is the buildroot's.
        assert!(inside(&["rpm", "-q", "dnf"]).starts_with("dnf-"));
    }
}

#[test]
fn no_layer_leads_out() {
    let Some(case) = Case::alone(Kind::Root, "image-hostile") else { return };
    // The names of entries have room for a short path.
    let outside = case.fixture.base.join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "mine").unwrap();
    let out = outside.display().to_string();
    let deep = "../".repeat(12);
    let layers = [
        Tar::new().file("../escape", "x"),
        Tar::new().file("a/../../escape", "x"),
        Tar::new().file(&format!("{deep}{}/new", &out[1..]), "x"),
        Tar::new().file(&format!("{out}/new"), "x"),
        Tar::new().link("l", &out).file("l/new", "x"),
        Tar::new().link("l", &format!("{deep}{}", &out[1..])).file("l/new", "x"),
        Tar::new().link("l", &format!("{out}/file")).file("l", "x"),
        Tar::new().link("l", &out).file("l/.wh.file", ""),
        Tar::new().link("l", &out).file("l/.wh..wh..opq", ""),
        Tar::new().file(".wh...", ""),
        Tar::new().file(".wh..", ""),
        Tar::new().entry(EntryType::Link, "h", 0o644, 0, &format!("{out}/file")).file("h", "x"),
        Tar::new().entry(EntryType::Link, "h", 0o644, 0, "../../../../../../etc/shadow"),
        Tar::new().entry(EntryType::Regular, ".", 0o644, 0, "x"),
        Tar::new().entry(EntryType::Symlink, "/", 0o777, 0, &out),
        Tar::new().link("etc", "/proc/self/root/etc").file("etc/new", "x"),
    ];
    for (number, layer) in layers.into_iter().enumerate() {
        let layout = Layout::new(&case.dir.join(format!("image-{number}")), &[layer.end()]);
        let lines = image("buildroot", &format!("oci:{}", layout.dir.display()), &[]);
        let run = case.run(&["init", "-r", &case.config_plus("image", &lines)]);
        run.fails(20, "");
        assert!(
            run.stderr.contains("could not be worked on") || run.stderr.contains("has no rpm"),
            "{number}: {run:?}"
        );
        case.nothing_left();
        assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "mine", "{number}");
        assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "{number}");
        for place in ["escape", "../escape", "roots/escape"] {
            assert!(!case.store.join(place).exists(), "{number}");
        }
    }
}

#[test]
fn images_of_every_format() {
    let Some(case) = Case::alone(Kind::Subids, "image-formats") else { return };
    let upper = Tar::new().file("etc/of-image", "upper").end();
    let layout = distribution(&case).and(&case.dir.join("layout"), &upper);
    layout.for_architectures(&["arm64", "amd64"]);
    let path = |name: &str| case.dir.join(name).display().to_string();
    let from = format!("oci:{}:latest", layout.dir.display());
    let (oci, docker) = (path("oci.tar"), path("docker.tar"));
    let gzipped = path("gzipped");
    for to in [format!("oci-archive:{oci}:x"), format!("docker-archive:{docker}:x/y:z"), {
        format!("oci:{gzipped}:latest")
    }] {
        let args = ["--insecure-policy", "copy", "-q", "--dest-compress-level", "1", &from, &to];
        host("skopeo", &args.map(std::ffi::OsStr::new));
    }
    let names = [
        from.clone(),
        format!("oci-archive:{oci}"),
        format!("oci-archive:{oci}:x"),
        docker.clone(),
        format!("docker-archive:{docker}:x/y:z"),
        format!("oci:{gzipped}"),
    ];
    for name in &names {
        let lines = image("buildroot", name, &[("ready", "True")]);
        case.run(&["init", "-r", &case.config_plus("image", &lines)]).succeeds();
        let content = fs::read_to_string(tree(&case, "local").join("etc/of-image")).unwrap();
        assert_eq!(content, "upper", "{name}");
        case.run(&["clean", "--all"]).succeeds();
    }
    layout.for_architectures(&["arm64", "s390x"]);
    let bad = [
        (from, "the image is not for linux/amd64; it is for linux/arm64, linux/s390x"),
        (format!("oci-archive:{oci}:other"), "it holds no image of that name; it holds x"),
        (
            format!("docker-archive:{docker}:a"),
            "it holds no image of that name; it holds docker.io/x/y:z",
        ),
        (path("missing.tar"), "No such file or directory"),
        (format!("oci:{}", path("missing")), "cannot read index.json"),
        ("Not A Name".to_owned(), "is not the name of an image"),
        ("containers-storage:x".to_owned(), "images come from registries, oci: layouts and"),
    ];
    for (name, text) in bad {
        let lines = image("buildroot", &name, &[]);
        let failed = case.run(&["init", "-r", &case.config_plus("image", &lines)]);
        failed.fails(20, "the root cannot be started from its image");
        failed.tells(text);
        case.nothing_left();
    }
}
