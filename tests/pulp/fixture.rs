//! Where Pulp is, files to upload, and what Pulp says about them.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use albs_node::retry::Backoff;
use albs_node::secret::Secret;
use albs_node::upload::{LocalFile, Pulp, PulpOptions, Wanted};
use serde_json::{Value as Json, json};

pub const MIB: u64 = 1 << 20;

/// For uploads that are to succeed: what fails for long fails the test.
pub const QUICK: Backoff = Backoff {
    first: Duration::from_millis(200),
    most: Duration::from_secs(2),
    lost: Duration::ZERO,
    doubtful: 2,
};
/// For uploads that meet trouble: somebody who must act has time.
pub const PATIENT: Backoff = Backoff {
    first: Duration::from_millis(300),
    most: Duration::from_secs(100),
    lost: Duration::ZERO,
    doubtful: 100,
};

pub struct Fixture {
    host: String,
    user: String,
    password: String,
    directory: tempfile::TempDir,
}

impl Fixture {
    /// Pulp, or none after telling why the test is skipped.
    pub fn get() -> Option<Fixture> {
        let variable = |name: &str| std::env::var(name).ok().filter(|text| !text.is_empty());
        let found = (|| {
            Some((variable("PULP_HOST")?, variable("PULP_USER")?, variable("PULP_PASSWORD")?))
        })();
        let Some((host, user, password)) = found else {
            skip("there is no Pulp; eval \"$(scripts/pulp up --nginx)\" starts one");
            return None;
        };
        let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let directory = tempfile::Builder::new().prefix("pulp-").tempdir_in(base).unwrap();
        Some(Fixture { host, user, password, directory })
    }

    /// nginx in front of it, or none after telling so.
    pub fn nginx(&self) -> Option<String> {
        let nginx = std::env::var("PULP_NGINX").ok();
        if nginx.is_none() {
            skip("there is no nginx in front of Pulp; scripts/pulp up --nginx starts one");
        }
        nginx
    }

    pub fn address(&self) -> String {
        self.host.trim_start_matches("http://").to_owned()
    }

    pub fn pulp(&self) -> Pulp {
        self.pulp_with(|_| {})
    }

    pub fn pulp_with(&self, change: impl FnOnce(&mut PulpOptions)) -> Pulp {
        let mut options = PulpOptions {
            host: self.host.clone(),
            user: self.user.clone(),
            password: Secret::new(&self.password),
            chunk_bytes: 8 * MIB,
            whole_bytes: 8 * MIB,
            workers: 4,
            timeout: Duration::from_secs(120),
            commit: Duration::from_secs(300),
        };
        change(&mut options);
        Pulp::new(options).unwrap()
    }

    /// A file that nobody else has.
    pub fn file(&self, size: u64) -> PathBuf {
        let path = self.fresh();
        let mut file = File::create(&path).unwrap();
        let mut left = size;
        let mut buffer = vec![0; 64 << 10];
        while left > 0 {
            let count = left.min(buffer.len() as u64) as usize;
            fastrand::fill(&mut buffer[..count]);
            file.write_all(&buffer[..count]).unwrap();
            left -= count as u64;
        }
        path
    }

    /// A file with nothing but a few bytes in it.
    pub fn sparse(&self, size: u64) -> PathBuf {
        use std::os::unix::fs::FileExt;
        let path = self.fresh();
        let file = File::create(&path).unwrap();
        file.set_len(size).unwrap();
        file.write_all_at(&fastrand::u128(..).to_le_bytes(), size / 2).unwrap();
        path
    }

    pub fn fresh(&self) -> PathBuf {
        self.directory.path().join(format!("{:016x}", fastrand::u64(..)))
    }

    /// What Pulp says about an artifact.
    pub fn artifact(&self, href: &str) -> Json {
        self.curl(&[], href)
    }

    pub fn create_user(&self, name: &str, password: &str) {
        let body = json!({"username": name, "password": password}).to_string();
        let arguments = ["-X", "POST", "-H", "Content-Type: application/json", "-d", &body];
        // It may be there from another run.
        self.curl(&arguments, "/pulp/api/v3/users/");
    }

    /// Not by the client that is tested.
    fn curl(&self, arguments: &[&str], path: &str) -> Json {
        let output = std::process::Command::new("curl")
            .args(["-s", "--max-time", "60", "-u", &format!("{}:{}", self.user, self.password)])
            .args(arguments)
            .arg(format!("{}{path}", self.host))
            .output()
            .unwrap();
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

/// Tells that a test is skipped. In CI, everything that tests need is there, or the CI is broken.
pub fn skip(reason: &str) {
    let ci = std::env::var_os("CI").is_some_and(|value| !value.is_empty());
    assert!(!ci, "a test would be skipped in CI: {reason}");
    eprintln!("skipped: {reason}");
}

pub async fn wanted(path: &Path) -> Wanted {
    Wanted { file: LocalFile::measure(path).await.unwrap(), resume: None }
}

/// The most memory that this process has had, in bytes.
pub fn peak_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
}
