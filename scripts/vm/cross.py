"""Cargo for other architectures, in a Debian root of vm-test's cache that has the compilers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import assets
from assets import ARCHITECTURES, CACHE, Failure

# Debian keeps a recent rustc in its stable suites under another name.
WEB = "-web" if assets.SUITE in ("bookworm", "trixie") else ""
PACKAGES = f"ca-certificates cargo{WEB} gcc libc6-dev libseccomp-dev pkgconf rustc{WEB}"


def root(arch: str) -> Path:
    """The root with compilers for an architecture."""
    about = ARCHITECTURES[arch]
    packages = [*PACKAGES.split(), f"gcc-{about.triplet}", f"libc6-dev-{about.debian}-cross",
                f"libstd-rust{WEB}-dev:{about.debian}", f"libseccomp-dev:{about.debian}"]

    def make(place: Path) -> None:
        (place / "root").mkdir()
        assets.debian(place / "root", ["amd64", about.debian], packages)
    return assets.made(f"cross-{arch}", [assets.SUITE, packages], make) / "root"


def cargo(tree: Path, arch: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run cargo for an architecture in a tree."""
    compilers = root(arch)
    # Fetched by the machine's own cargo, which may have mirrors configured.
    vendor, home = CACHE / "vendor", CACHE / "cargo-home"
    # What the directory was filled from.
    stamp, wanted = CACHE / "vendor.lock", (tree / "Cargo.lock").read_bytes()
    with assets.locked():
        if not stamp.exists() or stamp.read_bytes() != wanted:
            stamp.unlink(missing_ok=True)
            fetched = subprocess.run(["cargo", "--quiet", "vendor", "--locked", str(vendor)], cwd=tree, stdout=subprocess.DEVNULL)
            if fetched.returncode != 0:
                raise Failure("fetching crates failed", "cargo's own message is above")
            stamp.write_bytes(wanted)
        home.mkdir(exist_ok=True)
        (home / "config.toml").write_text(
            f'[source.crates-io]\nreplace-with = "vendored"\n[source.vendored]\ndirectory = "{vendor}"\n')
    about = ARCHITECTURES[arch]
    target = about.rust.replace("-", "_")
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": "/tmp", "CARGO_HOME": str(home), "CARGO_BUILD_TARGET": about.rust,
        "CARGO_TARGET_DIR": str(tree / "target/cross"), f"CARGO_TARGET_{target.upper()}_LINKER": f"{about.triplet}-gcc",
        f"CC_{target}": f"{about.triplet}-gcc", "PKG_CONFIG_ALLOW_CROSS": "1",
        "PKG_CONFIG_LIBDIR": f"/usr/lib/{about.triplet}/pkgconfig",
        "LIBSECCOMP_LINK_TYPE": "dylib", "LIBSECCOMP_LIB_PATH": f"/usr/lib/{about.triplet}",
        # An emulated machine takes its time to read what is for debuggers.
        "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_PROFILE_DEV_STRIP": "symbols", "CARGO_INCREMENTAL": "0",
    }
    command = ["bwrap", "--die-with-parent", "--bind", str(compilers), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp",
               # The same places as outside: tests look for their programs where they were built.
               "--bind", str(tree), str(tree), "--ro-bind", str(vendor), str(vendor), "--bind", str(home), str(home),
               "--clearenv", "--chdir", str(tree)]
    for name, value in environment.items():
        command += ["--setenv", name, value]
    return subprocess.run([*command, "cargo", "--quiet", "--offline", *words], stdout=subprocess.PIPE, text=True)
