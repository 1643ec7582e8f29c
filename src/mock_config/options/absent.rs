//! What a config may turn on and nothing here does, in sentences that say why.

use super::plugins::Conf;
use super::read::{Read, Reader};
use crate::mock_config::value::Value;

/// Options without an equivalent, and why.
const NO_OPTIONS: &[(&str, &str)] = &[
    ("backup_on_clean", "clean removes no results"),
    ("createrepo_on_rpms", "run createrepo_c on the result directory"),
    ("dev_loop_count", "there are no loop devices inside"),
    ("exclude_from_homedir_cleanup", "every build has a home directory of its own"),
    ("external_buildrequires", "only packages of the repositories are installed"),
    ("no_root_shells", "a shell's root is nobody on the host"),
    ("nosync", "what a build writes is thrown away without it"),
    ("post_install", "install the packages by hand: albs-node install"),
    ("rootdir", "buildroots are layers; basedir says where they are kept"),
    ("scm", "check the sources out and build with --spec and --sources"),
];

/// Options that a config may turn off, which nothing here does, and why.
const NOT_OFF: &[(&str, &str)] =
    &[("internal_dev_setup", "/dev always has the devices that builds need, and no other")];

/// Plugins without an equivalent, and why.
const NONE: &[(&str, &str)] = &[
    ("lvm_root", "buildroots are layers anyway"),
    ("overlayfs", "buildroots are layers anyway"),
    ("pm_request", "a build cannot ask for packages while it runs"),
    ("rpkg_preprocessor", "preprocess the spec before the build"),
    ("export_buildroot_image", "the buildroot is not exported"),
    ("unbreq", "unused dependencies are not looked for"),
    ("system_monitor", "outcome.json has the peak of memory and the cost of each stage"),
];

/// What the config turns on that does nothing here, and why.
pub(super) fn without_effect(read: &Reader<'_>) -> Read<Vec<String>> {
    let conf = Conf::of(read)?;
    let mut out = Vec::new();
    for (name, why) in NONE {
        if conf.flag(&format!("{name}_enable"))? {
            out.push(format!("the plugin {name} has no effect here: {why}"));
        }
    }
    for (name, why) in NO_OPTIONS {
        let value = read.options.get_str(name);
        if value.is_some_and(Value::is_true) && read.config.place(&[name]).is_some() {
            out.push(format!("{name} has no effect here: {why}"));
        }
    }
    for (name, why) in NOT_OFF {
        let value = read.options.get_str(name);
        if value.is_some_and(|value| !value.is_true()) && read.config.place(&[name]).is_some() {
            out.push(format!("{name} = False has no effect here: {why}"));
        }
    }
    for name in ["chrootuid", "chrootgid"] {
        if read.optional_number::<u32>(name)? == Some(0) {
            out.push(format!("{name} = 0 has no effect here: packages are not built as root"));
        }
    }
    let in_memory = conf.flag("tmpfs_enable")?;
    if in_memory && conf.below("tmpfs_opts")?.text("max_fs_size")?.is_some() {
        out.push(
            "max_fs_size of the plugin tmpfs has no effect here: memory is limited as a whole"
                .to_owned(),
        );
    }
    Ok(out)
}
