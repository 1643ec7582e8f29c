//! Images that tests make, and a registry for them.

use std::ffi::OsStr;
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::case::{Case, host};
use crate::fixture::Kind;

/// An image in the layout of OCI.
#[derive(Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    layers: Vec<Value>,
    diff_ids: Vec<String>,
}

/// The content of a layer.
pub(crate) struct Tar(tar::Builder<Vec<u8>>);

impl Tar {
    pub(crate) fn new() -> Tar {
        Tar(tar::Builder::new(Vec::new()))
    }

    /// Adds an entry whose path and link are taken as they are.
    pub(crate) fn entry(
        mut self,
        kind: tar::EntryType,
        path: &str,
        mode: u32,
        id: u64,
        text: &str,
    ) -> Tar {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
        header.set_mode(mode);
        header.set_uid(id);
        header.set_gid(id);
        header.set_mtime(1_000_000_000);
        let content = if kind == tar::EntryType::Regular { text } else { "" };
        if kind != tar::EntryType::Regular {
            header.as_gnu_mut().unwrap().linkname[..text.len()].copy_from_slice(text.as_bytes());
        }
        if kind.is_character_special() {
            header.set_device_major(1).unwrap();
            header.set_device_minor(3).unwrap();
        }
        header.set_size(content.len() as u64);
        header.set_cksum();
        self.0.append(&header, content.as_bytes()).unwrap();
        self
    }

    pub(crate) fn file(self, path: &str, text: &str) -> Tar {
        self.entry(tar::EntryType::Regular, path, 0o644, 0, text)
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Tar {
        self.entry(tar::EntryType::Symlink, path, 0o777, 0, target)
    }

    /// Gives the next entry an extended attribute.
    pub(crate) fn attribute(mut self, name: &str, value: &[u8]) -> Tar {
        self.0.append_pax_extensions([(format!("SCHILY.xattr.{name}").as_str(), value)]).unwrap();
        self
    }

    pub(crate) fn end(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

fn digest(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}

impl Layout {
    /// An image of these layers.
    pub(crate) fn new(dir: &Path, layers: &[Vec<u8>]) -> Layout {
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
        let dir = dir.to_owned();
        let empty = Layout { dir, layers: Vec::new(), diff_ids: Vec::new() };
        layers.iter().fold(empty, |layout, layer| layout.layer(layer)).publish("amd64")
    }

    /// The same with one more layer, in a directory of its own.
    pub(crate) fn and(&self, dir: &Path, layer: &[u8]) -> Layout {
        fs::create_dir(dir).unwrap();
        host("cp", &["-al".as_ref(), self.dir.join(".").as_ref(), dir.as_os_str()]);
        // Links are shared.
        fs::remove_file(dir.join("index.json")).unwrap();
        Layout { dir: dir.to_owned(), ..self.clone() }.layer(layer).publish("amd64")
    }

    fn layer(mut self, bytes: &[u8]) -> Layout {
        let kind = "application/vnd.oci.image.layer.v1.tar";
        self.diff_ids.push(digest(bytes));
        let layer = self.blob(kind, bytes);
        self.layers.push(layer);
        self
    }

    fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        fs::write(self.blob_path(&digest), bytes).unwrap();
        json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    fn blob_path(&self, digest: &str) -> PathBuf {
        self.dir.join("blobs").join(digest.replace(':', "/"))
    }

    fn manifest(&self, architecture: &str) -> Value {
        let config = json!({
            "architecture": architecture, "os": "linux",
            "config": {"Cmd": ["/bin/sh"], "Labels": {"name": "of a test"}},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            &serde_json::to_vec(&config).unwrap(),
        );
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let manifest = json!({
            "schemaVersion": 2, "mediaType": kind, "config": config, "layers": self.layers,
        });
        self.blob(kind, &serde_json::to_vec(&manifest).unwrap())
    }

    /// Names the image `latest`.
    fn publish(self, architecture: &str) -> Layout {
        let mut manifest = self.manifest(architecture);
        manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        self.index(&[manifest]);
        self
    }

    fn index(&self, manifests: &[Value]) {
        let index = json!({"schemaVersion": 2, "manifests": manifests});
        fs::write(self.dir.join("index.json"), index.to_string()).unwrap();
    }

    /// Makes it one image for several architectures.
    pub(crate) fn for_architectures(&self, architectures: &[&str]) {
        let manifests: Vec<Value> = architectures
            .iter()
            .map(|architecture| {
                let mut manifest = self.manifest(architecture);
                manifest["platform"] = json!({"os": "linux", "architecture": architecture});
                manifest
            })
            .collect();
        let kind = "application/vnd.oci.image.index.v1+json";
        let inner = json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
        let mut inner = self.blob(kind, inner.to_string().as_bytes());
        inner["annotations"] = json!({"org.opencontainers.image.ref.name": "latest"});
        self.index(&[inner]);
    }
}

/// An image of the local distribution with dnf, but without its plugin for build dependencies.
pub(crate) fn distribution(case: &Case) -> &'static Layout {
    static IMAGE: OnceLock<Layout> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let case = Case::new(case.fixture, Kind::Root, "image", None);
        let setup = "config_opts['chroot_setup_cmd'] = 'install dnf'\n";
        let run = case.run(&["init", "-r", &case.config_plus("image", setup)]);
        run.succeeds();
        let roots = fs::read_dir(case.store.join("roots")).unwrap();
        let trees = roots.map(|entry| entry.unwrap().path().join("root"));
        let tree = trees.filter(|tree| tree.is_dir()).collect::<Vec<_>>().remove(0);
        let archive = case.dir.join("tree.tar");
        let flags = ["--xattrs", "--numeric-owner", "-cf"].map(OsStr::new);
        let from = [archive.as_os_str(), "-C".as_ref(), tree.as_os_str(), ".".as_ref()];
        host("tar", &flags.into_iter().chain(from).collect::<Vec<_>>());
        Layout::new(&case.fixture.base.join("image"), &[fs::read(archive).unwrap()])
    })
}

/// A registry on loopback; ends with this value.
pub(crate) struct Registry {
    child: Option<Child>,
    pub(crate) address: String,
}

impl Registry {
    /// `more` goes into its configuration, and `http` below that.
    pub(crate) fn start(dir: &Path, http: &str, more: &str) -> Registry {
        fs::create_dir_all(dir).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let address = format!("127.0.0.1:{port}");
        let config = dir.join("config.yml");
        let storage = dir.join("storage").display().to_string();
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: \
             {storage}}}}}\nhttp:\n  addr: {address}\n{http}{more}"
        );
        fs::write(&config, text).unwrap();
        let programs = ["docker-registry", "registry"];
        let there = |name: &&&str| Path::new("/usr/bin").join(name).exists();
        let program = programs.iter().find(there).expect("a registry is installed");
        let child = Command::new(program)
            .arg("serve")
            .arg(&config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let started = Instant::now();
        while TcpStream::connect(&address).is_err() {
            assert!(started.elapsed() < Duration::from_secs(30), "the registry does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Registry { child: Some(child), address }
    }

    /// Gives an image a name in it.
    pub(crate) fn push(&self, image: &Layout, name: &str) {
        let from = format!("oci:{}:latest", image.dir.display());
        let to = format!("docker://{}/{name}", self.address);
        let args = ["--insecure-policy", "copy", "-q", "--all", "--dest-tls-verify=false"];
        let compress = ["--dest-compress-format", "zstd", "--dest-compress-level", "1"];
        let all = args.iter().chain(&compress).copied().chain([from.as_str(), &to]);
        host("skopeo", &all.map(OsStr::new).collect::<Vec<_>>());
    }

    /// What skopeo says of an image.
    pub(crate) fn digest(&self, name: &str) -> String {
        let address = format!("docker://{}/{name}", self.address);
        let args = ["inspect", "--tls-verify=false", "--format", "{{.Digest}}", &address];
        host("skopeo", &args.map(OsStr::new)).trim().to_owned()
    }

    pub(crate) fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}
