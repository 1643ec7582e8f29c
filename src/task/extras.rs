//! What a node adds to the config of a task: the programs that sign for secure boot, and the proxy of
//! npm and yarn.
//!
//! Source: `build_node/builders/base_rpm_builder.py` of the Python node, which writes the same files
//! for the same macros, and binds the same directory to the same place.

use std::path::PathBuf;

use super::{Task, TaskConfig, TaskConfigError};
use crate::mock_config::{Value, default_option};

/// Where builds find the programs that sign.
const PROGRAMS: &str = "/usr/local/bin";
/// rpm reads it after the macros of packages, so that what it says counts.
const MODSIGN_FILE: &str = "etc/rpm/macros.modsign";
/// Kernel modules are signed when everything else that changes them is done, so after debug
/// information was taken out; compressed ones cannot be signed, and are left to the scripts of
/// packages. Unlike with the Python node, a module that cannot be signed fails the build: `find
/// -exec` would not tell. `__kmod_brps_added` keeps the macros of kernel-rpm-macros from signing
/// once more.
const MODSIGN: &str = r#"%__kmod_brps_added 1
%__brp_kmod_sign %{expand:[ ! -d "$RPM_BUILD_ROOT/lib/modules" ] || find "$RPM_BUILD_ROOT/lib/modules" -type f -name '*.ko' -print0 | xargs -0 -r -t -n 1 /usr/local/bin/modsign %{modsign_os}}
%__brp_kmod_post_sign_process %{expand:[ ! -d "$RPM_BUILD_ROOT/lib/modules" ] || find "$RPM_BUILD_ROOT/lib/modules" -type f -name '*.ko.*' -print -delete}
%__spec_install_post \
        %{?__debug_package:%{__debug_install_post}} \
        %{__arch_install_post} \
        %{__os_install_post} \
        %{__brp_kmod_sign} \
        %{__brp_kmod_post_sign_process} \
        %{nil}
"#;

/// What of a node's own config is for builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeExtras {
    /// Directory of the programs that sign.
    pub pesign_directory: PathBuf,
    /// Proxy for npm and yarn.
    pub npm_proxy: Option<String>,
}

impl NodeExtras {
    /// The same to be shown: builds see the password of a proxy, readers of logs need not.
    pub fn without_password(&self) -> NodeExtras {
        let npm_proxy = self.npm_proxy.as_deref().map(crate::http::without_password);
        NodeExtras { npm_proxy, ..self.clone() }
    }
}

impl TaskConfig {
    /// Adds what the node has for builds of this task. Only those for secure boot get the programs
    /// that sign.
    ///
    /// # Errors
    ///
    /// The task's own arguments for nspawn are no list, so that nothing can be added.
    pub fn with(mut self, task: &Task, extras: &NodeExtras) -> Result<Self, TaskConfigError> {
        if task.is_secure_boot {
            let bind = format!("--bind-ro={}:{PROGRAMS}", extras.pesign_directory.display());
            self.add_nspawn_argument(bind)?;
            self.set(&["files", MODSIGN_FILE], MODSIGN);
        }
        if let Some(proxy) = &extras.npm_proxy {
            let npm = format!("https-proxy={proxy}\nproxy={proxy}\nstrict-ssl=false\n");
            let yarn = format!("https-proxy \"{proxy}\"\nproxy \"{proxy}\"\nstrict-ssl false\n");
            self.set(&["files", "usr/etc/npmrc"], npm.as_str());
            self.set(&["files", "usr/etc/yarnrc"], yarn.as_str());
        }
        Ok(self)
    }

    /// Adds to the task's list, or to mock's own: a list of one would replace that.
    fn add_nspawn_argument(&mut self, argument: String) -> Result<(), TaskConfigError> {
        let name = "nspawn_args";
        let own = self.assignments.iter_mut().find(|own| own.path == [name]);
        let argument = Value::from(argument.as_str());
        match own.map(|own| &mut own.value) {
            Some(Value::List(list) | Value::Tuple(list)) => list.push(argument),
            Some(other) => {
                return Err(TaskConfigError::Value {
                    option: format!("platform.data.mock.{name}"),
                    wanted: "a list",
                    value: format!("{other:?}"),
                });
            }
            None => {
                let mut list = match default_option(name) {
                    Some(Value::List(list)) => list,
                    _ => Vec::new(),
                };
                list.push(argument);
                self.set(&[name], Value::List(list));
            }
        }
        Ok(())
    }
}
