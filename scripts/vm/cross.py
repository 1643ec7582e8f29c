"""Cargo for other architectures, in a Debian root of vm-test's cache that has the compilers."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import assets
from assets import ARCHITECTURES, Failure

# The stable suite's own rustc is older than the workspace wants; this one is kept recent.
PACKAGES = "ca-certificates cargo-web gcc libc6-dev libseccomp-dev pkgconf rustc-web"


def root() -> Path:
    """The root with compilers for all architectures."""
    others = [about for name, about in ARCHITECTURES.items() if name != "x86_64"]
    packages = PACKAGES.split()
    for about in others:
        packages += [f"gcc-{about.triplet.replace('_', '-')}", f"libc6-dev-{about.debian}-cross",
                     f"libstd-rust-web-dev:{about.debian}", f"libseccomp-dev:{about.debian}"]

    def make(place: Path) -> None:
        (place / "root").mkdir()
        assets.debian(place / "root", ["amd64", *(about.debian for about in others)], packages)
    return assets.made("cross", [packages], make) / "root"


def inside(words: list[str], tree: Path, environment: dict[str, str], **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command in it, with a directory at the same place as outside."""
    binds = ["--bind", str(tree), str(tree), "--chdir", str(tree)]
    command = ["bwrap", "--die-with-parent", "--bind", str(root()), "/", "--dev", "/dev", "--proc", "/proc", "--tmpfs", "/tmp", *binds]
    for name, value in environment.items():
        command += ["--setenv", name, value]
    return subprocess.run([*command, *words], text=True, **options)  # type: ignore[call-overload]


def cargo(tree: Path, arch: str, words: list[str]) -> subprocess.CompletedProcess[str]:
    """Run cargo for an architecture. Crates come from the host's own cargo, which may have mirrors configured."""
    vendor = assets.CACHE / "vendor"
    with assets.locked():
        done = subprocess.run(["cargo", "--quiet", "vendor", "--locked", str(vendor)], cwd=tree, stdout=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise Failure("fetching crates failed", "cargo's own message is above")
    about = ARCHITECTURES[arch]
    target = tree / "target"
    # Cargo's settings for crates of a directory; written by `cargo vendor` itself.
    home = assets.CACHE / "cargo-home"
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text(done.stdout)
    name = about.rust.replace("-", "_")
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": "/tmp", "CARGO_HOME": str(home), "CARGO_TARGET_DIR": str(target / "cross"),
        "CARGO_BUILD_TARGET": about.rust, f"CARGO_TARGET_{name.upper()}_LINKER": f"{about.triplet}-gcc",
        f"CC_{name}": f"{about.triplet}-gcc", "PKG_CONFIG_ALLOW_CROSS": "1",
        "PKG_CONFIG_LIBDIR": f"/usr/lib/{about.triplet}/pkgconfig",
        "LIBSECCOMP_LINK_TYPE": "dylib", "LIBSECCOMP_LIB_PATH": f"/usr/lib/{about.triplet}",
        # Emulated machines read all of it; line numbers are enough.
        "CARGO_PROFILE_DEV_DEBUG": "0", "CARGO_INCREMENTAL": "0",
    }
    extra = ["--ro-bind", str(vendor), str(vendor), "--bind", str(home), str(home)]
    return inside([*words_of(words)], tree, environment, stdout=subprocess.PIPE) if not extra else run_with(extra, words, tree, environment)


def words_of(words: list[str]) -> list[str]:
    return ["cargo", "--quiet", "--offline", *words]


def run_with(extra: list[str], words: list[str], tree: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["bwrap", "--die-with-parent", "--bind", str(root()), "/", "--dev", "/dev", "--proc", "/proc",
               "--tmpfs", "/tmp", "--bind", str(tree), str(tree), *extra, "--chdir", str(tree)]
    for name, value in environment.items():
        command += ["--setenv", name, value]
    return subprocess.run([*command, *words_of(words)], stdout=subprocess.PIPE, text=True)


def strip(arch: str, path: Path, to: Path) -> None:
    """Copy an executable without what is for debuggers."""
    program = root() / f"usr/bin/{ARCHITECTURES[arch].triplet}-strip"
    libraries = ":".join(str(root() / place) for place in ("usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"))
    assets.run([str(root() / "lib64/ld-linux-x86-64.so.2"), "--library-path", libraries, str(program), "-o", str(to), str(path)],
               f"stripping {path}")
