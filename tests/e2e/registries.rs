//! Images of registries: what is asked, what is kept, what is trusted.

use std::fs;

use crate::case::{Case, host, verdict};
use crate::fixture::Kind;
use crate::images::{image, tree, without_dnf};
use crate::oci::{Layout, Registry, Tar, distribution};
use crate::repository::Web;

/// The checksum of an image as mock computes it from what podman says.
const MOCK_DIGEST: &str = "import hashlib, json, sys
image = json.load(sys.stdin)
podman = {'RootFS': {'Type': 'layers', 'Layers': image['rootfs']['diff_ids']}, 'Config': image['config']}
print(hashlib.sha256(json.dumps(podman, sort_keys=True).encode()).hexdigest())";

#[test]
fn digests_are_asserted() {
    let Some(case) = Case::alone(Kind::Subids, "image-digest") else { return };
    let registry = Registry::start(&case.dir.join("registry"), "", "");
    registry.push(distribution(&case), "l:1");
    let name = format!("{}/l:1", registry.address);
    let manifest = registry.digest("l:1");
    let script =
        format!("skopeo inspect --config --tls-verify=false docker://{name} | python3 -c \"$1\"");
    let mock = host("sh", &["-c", &script, "sh", MOCK_DIGEST].map(std::ffi::OsStr::new));

    let run = |name: &str, digest: &str| {
        let digest = format!("'{digest}'");
        let lines = image("bootstrap", name, &[("ready", "True"), ("assert_digest", &digest)]);
        let run = case.run(&["init", "-r", &case.config_plus("image", &lines)]);
        case.nothing_left();
        run
    };
    // Packages would do, but not unnoticed.
    let other = "0".repeat(64);
    let failed = run(&name, &other);
    failed.fails(20, "the root cannot be started from its image");
    failed.tells(&format!("its digest is not {other}: mock's is {}", mock.trim()));
    failed.tells(&manifest);
    failed.tells("hint: if the image may have changed, write the new digest into the config");
    run(&name, mock.trim()).succeeds();
    run(&name, &manifest).succeeds();
    run(&format!("{name}@{manifest}"), &manifest).succeeds();
}

#[test]
fn images_are_kept_and_their_names_followed() {
    let Some(case) = Case::alone(Kind::Subids, "image-kept") else { return };
    let mut registry = Registry::start(&case.dir.join("registry"), "", "");
    let layer = |text: &str| Tar::new().file("etc/of-image", text).end();
    let first = distribution(&case).and(&case.dir.join("first"), &layer("first"));
    let second = distribution(&case).and(&case.dir.join("second"), &layer("second"));
    registry.push(&first, "l:1");
    let name = format!("{}/l:1", registry.address);
    let run = |name: &str, more: &[(&str, &str)]| {
        let options = [&[("ready", "True"), ("keep_getting", "0")], more].concat();
        let lines = image("buildroot", name, &options);
        let run = case.run(&["init", "-r", &case.config_plus("image", &lines)]);
        case.nothing_left();
        run
    };
    let content = || {
        let content = fs::read_to_string(tree(&case, "local").join("etc/of-image")).unwrap();
        case.run(&["clean", "--all"]).succeeds();
        content
    };
    let kept = [("skip_pull", "True")];
    run(&name, &kept).fails(20, "the root cannot be started from its image");
    run(&name, &[]).succeeds();
    // Cleaning takes roots, and what they are made from.
    assert_eq!(content(), "first");
    run(&name, &kept).fails(20, "");
    run(&name, &[]).succeeds();
    let root = tree(&case, "local").parent().unwrap().file_name().unwrap().to_owned();
    let clean = |case: &Case| {
        let config = case.dir.join("image.cfg").display().to_string();
        case.run(&["clean", "-r", &config]).succeeds();
    };
    clean(&case);
    registry.push(&second, "l:1");
    run(&name, &kept).succeeds();
    assert_eq!(fs::read_to_string(tree(&case, "local").join("etc/of-image")).unwrap(), "first");
    clean(&case);
    run(&name, &[]).succeeds();
    assert_eq!(fs::read_to_string(tree(&case, "local").join("etc/of-image")).unwrap(), "second");
    // Manifest, configuration and two layers; what the name meant before is gone.
    assert_eq!(fs::read_dir(case.store.join("images/sha256")).unwrap().count(), 4);
    clean(&case);
    assert!(!case.store.join("roots").join(root).exists());

    // A damaged file is not used twice.
    let blobs = fs::read_dir(case.store.join("images/sha256")).unwrap();
    let largest = blobs.map(|e| e.unwrap().path()).max_by_key(|p| p.metadata().unwrap().len());
    fs::write(largest.unwrap(), "damaged").unwrap();
    run(&name, &kept).fails(20, "could not be worked on");
    run(&name, &kept).tells("it was not pulled before, and its registry may not be asked");
    run(&name, &[]).succeeds();
    clean(&case);

    registry.stop();
    run(&name, &kept).succeeds();
    clean(&case);
    let failed = run(&name, &[("keep_getting", "2")]);
    failed.fails(20, "");
    failed.tells("trying again in 1 s");
    failed.tells("hint: check the network");
    verdict_of_failed_build(&case, &name);
}

/// Builds with an image that cannot be had now.
fn verdict_of_failed_build(case: &Case, name: &str) {
    let lines = image("buildroot", name, &[("keep_getting", "0")]);
    let config = case.config_plus("image", &lines);
    let (spec, result) = (case.spec("bad/small"), case.result("result").display().to_string());
    let empty = case.fixture.base.join("empty").display().to_string();
    let build = ["build", "-r", &config, "--spec", &spec, "--sources", &empty];
    case.run(&[&build[..], &["--resultdir", &result]].concat()).fails(20, "");
    let outcome = case.outcome("result");
    verdict(&outcome, "bootstrap", "infrastructure");
    assert_eq!(outcome["verdict"]["retryable"], true);
}

#[test]
fn packages_stand_in_for_an_image() {
    let Some(mut case) = Case::alone(Kind::Subids, "image-fallback") else { return };
    let mut registry = Registry::start(&case.dir.join("registry"), "", "");
    let name = format!("{}/l:1", registry.address);
    let config =
        |options: &[(&str, &str)]| case.config_plus("image", &image("bootstrap", &name, options));
    let failed = case.run(&["init", "-r", &config(&[("fallback", "False")])]);
    failed.fails(20, "");
    failed.tells("404 Not Found: manifest unknown");
    failed.tells("hint: check the name and the tag");
    registry.stop();
    let config = config(&[("keep_getting", "0")]);
    let run = case.run(&["init", "-r", &config]);
    run.succeeds();
    run.tells("packages are installed instead");
    // There is nobody who could install them.
    without_dnf(&mut case);
    case.run(&["clean", "--all"]).succeeds();
    case.run(&["init", "-r", &config]).fails(20, "the root cannot be started from its image");
}

#[test]
fn registries_with_certificates_and_tokens() {
    let Some(case) = Case::alone(Kind::Subids, "image-registries") else { return };
    let storage = case.dir.join("registry");
    let open = Registry::start(&storage, "", "");
    let small = Layout::new(&case.dir.join("image"), &[Tar::new().file("a", "").end()]);
    open.push(&small, "l:1");
    drop(open);
    let init = |registry: &Registry, more: &str| {
        let lines =
            image("buildroot", &format!("{}/l:1", registry.address), &[("keep_getting", "0")]);
        let run = case.run(&["init", "-r", &case.config_plus("image", &(lines + more))]);
        case.nothing_left();
        run
    };
    let keys = case.dir.join("keys").display().to_string();
    host("sh", &["-c", CERTIFICATES, "sh", &keys].map(std::ffi::OsStr::new));
    let tls = format!("  tls: {{certificate: {keys}/leaf.pem, key: {keys}/leaf.key}}\n");
    let secure = Registry::start(&storage, &tls, "");
    init(&secure, "").tells("certificate");
    let bundle = format!("config_opts['ssl_ca_bundle_path'] = '{keys}/ca.pem'\n");
    init(&secure, &bundle).fails(20, "has no rpm");
    drop(secure);

    // Whoever asks gets a token; the registry takes any.
    let tokens = case.dir.join("tokens");
    fs::create_dir(&tokens).unwrap();
    let web = Web::serve(&tokens);
    let realm = web.address.clone();
    let silly = format!("auth: {{silly: {{realm: \"{realm}token\", service: test}}}}\n");
    let guarded = Registry::start(&storage, "", &silly);
    init(&guarded, "").tells("/token?service=test&scope=repository%3Al%3Apull gives 404 Not Found");
    fs::write(tokens.join("token"), r#"{"token": "anything"}"#).unwrap();
    init(&guarded, "").fails(20, "has no rpm");
}

#[test]
fn a_registry_that_says_nothing_is_not_waited_for() {
    let Some(case) = Case::alone(Kind::Subids, "image-silent") else { return };
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let name = format!("{}/l:1", silent.local_addr().unwrap());
    let config = case.config_plus("image", &image("buildroot", &name, &[]));
    let mut running = case.start(&["init", "-r", &config]);
    running.wait_for("the connection", |_| {
        silent.set_nonblocking(true).unwrap();
        silent.accept().ok()
    });
    let asked = std::time::Instant::now();
    running.signal(nix::sys::signal::Signal::SIGINT);
    running.end().fails(130, "interrupted in stage bootstrap");
    assert!(asked.elapsed() < std::time::Duration::from_secs(5));
    case.nothing_left();
}

/// A certificate authority, and a certificate of this machine.
const CERTIFICATES: &str = "set -e; mkdir \"$1\"; cd \"$1\"; exec 2> log
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 2
openssl req -newkey rsa:2048 -nodes -keyout leaf.key -out leaf.csr -subj /CN=leaf
echo subjectAltName=IP:127.0.0.1 > names
openssl x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out leaf.pem -days 2 \
    -extfile names";
