//! `buildroot_lock.json`: exactly what was installed, and where it came from.
//!
//! The schema is mock's, version 1.1.0 (buildroot-lock-schema-1.1.0.json in its documentation).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::build::pipeline::Build;
use crate::buildroot::tools::with_tools;
use crate::buildroot::{packages, route};
use crate::run::StageRun;
use crate::verdict::{Failure, status};

const VERSION: &str = "1.1.0";

#[derive(Serialize)]
struct BuildrootLock {
    buildroot: Buildroot,
    config: BTreeMap<&'static str, serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bootstrap: Option<Bootstrap>,
    version: &'static str,
}

#[derive(Serialize)]
struct Buildroot {
    rpms: Vec<Package>,
}

/// The image of the bootstrap root.
#[derive(Serialize)]
struct Bootstrap {
    image_digest: String,
    pull_digest: String,
    id: String,
    architecture: String,
}

/// A package; nothing that the header does not say is null.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Package {
    // Sorted by name first, then architecture.
    name: String,
    arch: String,
    license: String,
    version: String,
    release: String,
    epoch: Option<String>,
    sigmd5: String,
    /// The last eight digits of the key.
    signature: Option<String>,
    url: String,
}

/// What rpm is asked for. A license may have tabs and line breaks; form feeds and vertical tabs
/// stand in none of it.
const FORMAT: &str = "%{name}\\f%{arch}\\f%{license}\\f%{version}\\f%{release}\\f%{epoch}\\f\
                      %{sigmd5}\\f%{sigpgp:pgpsig}\\f%{rsaheader:pgpsig}\\v\\n";

impl Build<'_> {
    pub(super) fn lock_buildroot(&self, stage: &StageRun<'_>) -> Result<(), Failure> {
        let options = self.env.options;
        let root = self.workspace.root();
        let argv = ["rpm", "-qa", "--qf", FORMAT].map(str::to_owned).to_vec();
        let installed = packages::query(self.env, stage, root.clone(), argv)?;
        let mut rpms: Vec<Package> = packages_of(&installed);
        rpms.sort();
        let locations = with_tools(self.env, stage, |tools| {
            let command: Vec<String> = ["repoquery", "--quiet", "--location"]
                .map(str::to_owned)
                .into_iter()
                .chain(rpms.iter().map(nevra))
                .collect();
            let request = packages::Request {
                tools,
                root,
                dbpath: &self.root.info.dbpath,
                command: &command,
                visible: &[],
                what: "asking where packages come from",
            };
            packages::answer(self.env, stage, &request)
        })?;
        place(&mut rpms, &locations);
        let text = |value: &Option<String>| value.clone().map(serde_json::Value::from);
        let mut config = BTreeMap::from([
            ("target_arch", options.target_arch.clone().into()),
            ("legal_host_arches", options.legal_host_arches.clone().into()),
            ("package_manager", options.package_manager.to_string().into()),
        ]);
        config.extend(text(&options.dist).map(|dist| ("dist", dist)));
        if let Some(image) = &options.bootstrap_image {
            config.insert("bootstrap_image", image.reference.clone().into());
            config.insert("bootstrap_image_ready", image.ready.into());
        }
        let bootstrap = self.env.bootstrap.as_deref().and_then(route::known);
        let bootstrap = bootstrap.and_then(|root| root.image).map(|image| Bootstrap {
            image_digest: image.image_digest,
            pull_digest: image.pull_digest,
            id: image.id,
            architecture: image.architecture,
        });
        let lock =
            BuildrootLock { bootstrap, buildroot: Buildroot { rpms }, config, version: VERSION };
        let text = serde_json::to_string_pretty(&lock).map_err(|error| {
            let message = "buildroot_lock.json could not be made";
            Failure::infrastructure(stage.stage, status::GENERIC, message, Some(error.into()))
        })?;
        self.record(stage, "buildroot_lock.json", &(text + "\n"))
    }
}

fn packages_of(installed: &str) -> Vec<Package> {
    installed.split('\x0b').filter_map(|record| package(record.trim_start_matches('\n'))).collect()
}

fn package(record: &str) -> Option<Package> {
    let fields: Vec<&str> = record.split('\x0c').collect();
    let [name, arch, license, version, release, epoch, sigmd5, pgp, rsa] = fields.as_slice() else {
        return None;
    };
    // Keys that were imported are no packages.
    if *name == "gpg-pubkey" {
        return None;
    }
    let known = |text: &str| (text != "(none)").then(|| text.to_owned());
    let key = known(pgp).or_else(|| known(rsa)).and_then(|text| {
        let start = text.len().checked_sub(8)?;
        text.get(start..).map(str::to_owned)
    });
    Some(Package {
        name: (*name).to_owned(),
        arch: (*arch).to_owned(),
        license: (*license).to_owned(),
        version: (*version).to_owned(),
        release: (*release).to_owned(),
        epoch: known(epoch),
        sigmd5: (*sigmd5).to_owned(),
        signature: key,
        url: String::new(),
    })
}

fn nevra(package: &Package) -> String {
    let Package { name, version, release, arch, epoch, .. } = package;
    let epoch = epoch.as_deref().unwrap_or("0");
    format!("{name}-{epoch}:{version}-{release}.{arch}")
}

/// Gives each package the address whose file is named after it.
fn place(rpms: &mut [Package], locations: &str) {
    let by_file: BTreeMap<&str, &str> = locations
        .lines()
        .map(str::trim)
        .filter_map(|address| Some((address.rsplit('/').next()?.strip_suffix(".rpm")?, address)))
        .collect();
    for package in rpms {
        let Package { name, version, release, arch, .. } = &*package;
        let file = format!("{name}-{version}-{release}.{arch}");
        if let Some(address) = by_file.get(file.as_str()) {
            package.url = (*address).to_owned();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_as_rpm_tells_them() {
        let text = ["gcc", "x86_64", "GPL\tand\nmore", "12", "3", "(none)", "d41d", "(none)"];
        let text = text.join("\x0c") + "\x0cRSA/SHA256, Mon, Key ID 0123456789abcdef\x0b\n";
        let mut seen = packages_of(&text);
        assert_eq!(seen.len(), 1);
        assert_eq!(
            (seen[0].epoch.as_deref(), seen[0].signature.as_deref()),
            (None, Some("89abcdef"))
        );
        assert_eq!(nevra(&seen[0]), "gcc-0:12-3.x86_64");
        place(&mut seen, "https://h/p/gcc-12-3.x86_64.rpm\nhttps://h/other-1-1.noarch.rpm\n");
        assert_eq!(seen[0].url, "https://h/p/gcc-12-3.x86_64.rpm");
        assert_eq!(packages_of(&text.replace("gcc\x0c", "gpg-pubkey\x0c")), []);
    }
}
