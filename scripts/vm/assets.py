"""What guests are made of: kernels, root file systems, emulators, cross compilers.

All of it comes from the Debian mirror that this machine's apt is configured with. It is unpacked
into a cache, never installed, and made anew when its recipe changes.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
CACHE = Path(os.environ.get("ALBS_NODE_VM_CACHE") or "/var/cache/albs-node/vm")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# Of the emulators.
STABLE = "trixie"
# Of the cross compilers, of distributions' kernels, and of guests of other architectures: the first
# with a dnf that installs groups (4.24), and with kernels of either page size for ppc64le.
SUITE = os.environ.get("ALBS_NODE_VM_SUITE") or "forky"
# Part of every stamp: raise it when what is made changes without its arguments.
RECIPE = 2

# What a guest needs to be one, and what the tests run inside.
GUEST = """bash busybox-static coreutils grep iproute2 kmod libcap2-bin libseccomp2 mount passt passwd procps sed
    slirp4netns tar uidmap util-linux"""
SYSTEMD = "dbus dbus-user-session libpam-systemd systemd systemd-sysv udev"
BUILDS = "cpio createrepo-c curl dnf dnf-plugins-core git gpg openssl python3 rpm strace"
EMULATORS = "qemu-system-arm qemu-system-ppc qemu-system-x86 seabios"
LEAN = ["man", "doc", "locale", "info"]


class Failure(Exception):
    """Something the user must know: what went wrong, and what helps."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


@dataclass(frozen=True)
class Architecture:
    """The names of an architecture, and how its machine is emulated."""

    debian: str
    triplet: str
    rust: str
    kernel: str
    qemu: tuple[str, ...]
    console: str


ARCHITECTURES = {
    "x86_64": Architecture(
        "amd64", "x86_64-linux-gnu", "x86_64-unknown-linux-gnu", "linux-image-amd64",
        ("qemu-system-x86_64", "-M", "q35", "-cpu", "max"), "console=ttyS0 tsc=unstable no_timer_check"),
    "aarch64": Architecture(
        "arm64", "aarch64-linux-gnu", "aarch64-unknown-linux-gnu", "linux-image-arm64",
        ("qemu-system-aarch64", "-M", "virt", "-cpu", "cortex-a72"), "console=ttyAMA0"),
    # The mitigations that are left out are those which TCG cannot emulate and would refuse.
    "ppc64le": Architecture(
        "ppc64el", "powerpc64le-linux-gnu", "powerpc64le-unknown-linux-gnu", "linux-image-powerpc64le",
        ("qemu-system-ppc64", "-M", "pseries,cap-cfpc=broken,cap-sbbc=broken,cap-ibs=broken,cap-ccf-assist=off",
         "-cpu", "power9"), "console=hvc0"),
}


def say(message: str) -> None:
    """Print one line of progress."""
    print(f"vm-test: {message}", file=sys.stderr, flush=True)


def run(command: list[str], attempt: str, **options: object) -> str:
    """Return the output of a command, or fail with what was attempted and why it failed."""
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", **options)  # type: ignore[call-overload]
    if done.returncode != 0:
        lines = (done.stderr + done.stdout).strip().splitlines()
        raise Failure(f"{attempt} failed: " + "\n  ".join(lines[-12:] or [f"exit status {done.returncode}"]))
    return done.stdout


@contextlib.contextmanager
def locked() -> Iterator[None]:
    """Only one process makes things in the cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def made(name: str, recipe: list[object], make: Callable[[Path], None]) -> Path:
    """A directory of the cache, made by `make` unless it is there.

    Its name tells the recipe, since another tree on this machine may use another one meanwhile.
    """
    stamp = hashlib.sha256(repr([RECIPE, recipe]).encode()).hexdigest()[:12]
    place = CACHE / f"{name}.{stamp}"
    if place.is_dir():
        os.utime(place)
        return place
    with locked():
        if place.is_dir():
            return place
        say(f"making {name}")
        if os.geteuid() != 0:
            raise Failure("only root can make guests", "start it as root once")
        run([str(HERE.parent / "deps"), "vm"], "installing what making guests needs")
        new = CACHE / f"{name}.new"
        remove(new)
        forget(name)
        new.mkdir()
        new.chmod(0o755)
        try:
            make(new)
        except BaseException:
            remove(new)
            raise
        new.rename(place)
    return place


def forget(name: str) -> None:
    """Remove what older recipes have made and nobody has used for a week."""
    for old in CACHE.glob(f"{name}.*"):
        if old.stat().st_mtime < time.time() - 7 * 86400:
            remove(old)


def remove(place: Path) -> None:
    """Remove a directory of the cache, but nothing that is mounted in it."""
    if place.exists():
        run(["rm", "-rf", "--one-file-system", "--", str(place)], f"removing {place}")


def mirror() -> str:
    """The Debian mirror that this machine's apt uses, which may be the only one it reaches."""
    if own := os.environ.get("ALBS_NODE_VM_MIRROR"):
        return own
    targets = run(["apt-get", "indextargets", "--format", "$(ORIGIN) $(REPO_URI)", "Created-By: Packages"],
                  "asking apt for its mirrors")
    for line in targets.splitlines():
        origin, _, uri = line.partition(" ")
        # Not the archive of security updates, which has no complete suite.
        if origin == "Debian" and re.search(r"/debian/?$", uri):
            return uri
    raise Failure("apt knows no Debian mirror", "name one: ALBS_NODE_VM_MIRROR=http://…/debian")


def apt_lines() -> list[str]:
    """The machine's own apt settings for the network, such as proxies."""
    dump = run(["apt-config", "dump"], "reading apt's configuration")
    # A mirror may lag behind, and the clock of a build machine may not be the world's.
    own = [line for line in dump.splitlines() if re.match(r'Acquire::https?::', line)]
    return [*own, 'Acquire::Check-Valid-Until "false";', 'Acquire::Languages "none";']


def apt_download(place: Path, suite: str, architecture: str, packages: Callable[[Callable[..., str]], list[str]]) -> None:
    """Unpack packages of a suite into a directory, through an apt with state of its own."""
    state = place / ".apt"
    for name in ("lists/partial", "cache/archives/partial", "debs"):
        (state / name).mkdir(parents=True)
    (state / "status").touch()
    (state / "sources.list").write_text(f"deb [arch={architecture} signed-by={KEYRING}] {mirror()} {suite} main\n")
    (state / "apt.conf").write_text("\n".join([
        'Dir::Etc::Main "/dev/null";', 'Dir::Etc::Parts "/dev/null";', 'Dir::Etc::PreferencesParts "/dev/null";',
        f'Dir::Etc::SourceList "{state}/sources.list";', 'Dir::Etc::SourceParts "/dev/null";',
        f'Dir::State::Lists "{state}/lists";', f'Dir::State::status "{state}/status";', f'Dir::Cache "{state}/cache";',
        # It would download as a user who cannot write here.
        'APT::Sandbox::User "root";', f'APT::Architecture "{architecture}";', f'APT::Architectures "{architecture}";',
        *apt_lines(), ""]))

    def apt(*words: str) -> str:
        environment = {**os.environ, "APT_CONFIG": str(state / "apt.conf"), "LC_ALL": "C"}
        return run(list(words), " ".join(words), cwd=state / "debs", env=environment)

    apt("apt-get", "-qq", "update")
    apt("apt-get", "-qq", "download", *packages(apt))
    for deb in (state / "debs").iterdir():
        # Not dpkg-deb -x, which would replace links to directories by directories.
        run(["sh", "-c", 'dpkg-deb --fsys-tarfile "$1" | tar -x --keep-directory-symlink -C "$2"', "sh", str(deb), str(place)],
            f"unpacking {deb.name}")
    shutil.rmtree(state)


def uml(suite: str) -> Path:
    """user-mode-linux of a suite, in a root with the C library that it is made for: `usr/bin/linux.uml`, and modules."""
    def make(place: Path) -> None:
        # Where a suite's packages have no merged /usr, theirs are unpacked through the same links.
        for name in ("lib", "lib64"):
            (place / "usr" / name).mkdir(parents=True, exist_ok=True)
            (place / name).symlink_to(f"usr/{name}")
        for name in ("dev", "proc", "tmp", "mnt"):
            (place / name).mkdir()
        apt_download(place, suite, "amd64", lambda apt: ["user-mode-linux", "libc6"])
        (place / "modules").symlink_to("usr/lib/uml/modules")
    return made(f"uml-{suite}", [suite], make)


def kernel(arch: str, suite: str, variant: str) -> Path:
    """A distribution's kernel for qemu: `kernel`, `modules/VERSION`."""
    about = ARCHITECTURES[arch]
    name = about.kernel + (f"-{variant}" if variant else "")

    def packages(apt: Callable[..., str]) -> list[str]:
        depends = lambda package, pattern: re.findall(  # noqa: E731
            rf"Depends: ({pattern}\S*)", apt("apt-cache", "depends", package))
        image = depends(name, r"linux-image-\d")[0]
        return [image, *depends(image, r"linux-(?:binary|modules|base)-\d")]

    def make(place: Path) -> None:
        apt_download(place, suite, about.debian, packages)
        modules = next(p for p in (place / "usr/lib/modules", place / "lib/modules") if p.is_dir())
        (place / "modules").symlink_to(modules.relative_to(place))
        version = next(modules.iterdir()).name
        # Newer suites have it beside the modules.
        images = [*place.glob(f"boot/vmlinu*{version}"), *(modules / version).glob("vmlinu*")]
        if not images:
            raise Failure(f"the packages of {name} have no kernel")
        image = images[0]
        (place / "kernel").symlink_to(image.relative_to(place))
        (place / "lib").exists() or (place / "lib").symlink_to("usr/lib")
        run(["depmod", "-b", str(place), version], f"indexing the modules of {version}")
    return made(f"kernel-{suite}-{name}", [suite, arch, variant], make)


def debian(place: Path, architectures: list[str], packages: list[str], variant: str = "minbase",
           suite: str = SUITE) -> None:
    """Make a Debian root."""
    options = place.with_suffix(".apt.conf")
    options.write_text("\n".join([*apt_lines(), ""]))
    try:
        # In a mount namespace of its own: it mounts the host's /dev/shm, /proc and /sys in the root, and
        # were it killed, removing the root would empty them.
        run(["unshare", "--mount", "--propagation=private", "mmdebstrap", "--mode=root", f"--variant={variant}", f"--architectures={','.join(architectures)}",
             f"--keyring={KEYRING}", f"--include={','.join(packages)}", f"--aptopt={options}",
             *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in LEAN), suite, str(place), mirror()],
            f"making a Debian {suite} root")
    finally:
        options.unlink()


def own_suite() -> str:
    """This machine's Debian, whose dnf is known to build what the local distribution is made of."""
    release = platform.freedesktop_os_release()
    return release["VERSION_CODENAME"] if release["ID"] == "debian" else SUITE


def guest(arch: str) -> Path:
    """A guest's root: `root`, and `disk.ext4` made of it."""
    about = ARCHITECTURES[arch]
    # No program of a foreign architecture runs here: its packages are unpacked and not configured.
    native = arch == os.uname().machine
    packages = f"{GUEST} {BUILDS} {SYSTEMD if native else ''}".split()
    suite = own_suite() if native else SUITE
    files = {path.name: path.read_bytes() for path in sorted((HERE / "image").iterdir())}

    def make(place: Path) -> None:
        root = place / "root"
        root.mkdir()
        debian(root, [about.debian], packages, "minbase" if native else "extract", suite)
        if not native:
            byte_compile(root, place / "python", suite)
        furnish(root, files)
        disk = place / "disk.ext4"
        with disk.open("w") as file:
            file.truncate(6 << 30)
        run(["mke2fs", "-q", "-t", "ext4", "-O", "^has_journal,^metadata_csum", "-E", "lazy_itable_init=1",
             "-d", str(root), str(disk)], "making a disk of the guest's root")
    return made(f"guest-{arch}", [arch, suite, packages, files, "" if native else "byte-compiled"], make)


def byte_compile(root: Path, scratch: Path, suite: str) -> None:
    """Compile the Python programs of a root of another architecture, as their packages' scripts would have
    done: every start of dnf would take half a minute longer there."""
    scratch.mkdir()
    debian(scratch, ["amd64"], ["python3"], suite=suite)
    run(["bwrap", "--die-with-parent", "--bind", str(scratch), "/", "--dev", "/dev", "--proc", "/proc", "--bind", str(root), "/mnt",
         "python3", "-m", "compileall", "-q", "-j", "0", "-s", "/mnt", "/mnt/usr/lib/python3", *map(str, (
             Path("/mnt") / path.relative_to(root) for path in root.glob("usr/lib/python3.*")))], "compiling Python programs")
    remove(scratch)


def furnish(root: Path, files: dict[str, bytes]) -> None:
    """What all guests have: the user, how they start, and nothing that a test does not need."""
    etc = root / "etc"
    for name in ("passwd", "group"):
        # Without base-passwd's own script, these are the tables it would have copied.
        if not (etc / name).exists():
            shutil.copy(root / f"usr/share/base-passwd/{name}.master", etc / name)
    for name, line in {"passwd": "tester:x:1000:1000::/home/tester:/bin/bash", "group": "tester:x:1000:",
                       "shadow": "tester:!:20000::::::", "subuid": "tester:100000:65536",
                       "subgid": "tester:100000:65536"}.items():
        with (etc / name).open("a") as file:
            file.write(line + "\n")
    (etc / "shadow").chmod(0o600)
    home = root / "home/tester"
    home.mkdir()
    os.chown(home, 1000, 1000)
    (root / "vm").mkdir()
    (root / "usr/bin/sh").exists() or (root / "usr/bin/sh").symlink_to("bash")
    (etc / "hostname").write_text("guest\n")
    (etc / "machine-id").write_text("0123456789abcdef0123456789abcdef\n")
    (etc / "fstab").write_text("")
    (etc / "resolv.conf").unlink(missing_ok=True)
    (etc / "resolv.conf").write_text("")
    for name, content in files.items():
        at = etc / "systemd/system" / name if name.endswith(".service") else root / "usr/local/sbin" / name
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_bytes(content)
        at.chmod(0o644 if name.endswith(".service") else 0o755)
    system = etc / "systemd/system"
    (system / "multi-user.target.wants").mkdir(parents=True, exist_ok=True)
    link = lambda name, target: ((system / name).unlink(missing_ok=True), (system / name).symlink_to(target))  # noqa: E731
    link("multi-user.target.wants/vm-job.service", "../vm-job.service")
    link("default.target", "/lib/systemd/system/multi-user.target")
    # As `loginctl enable-linger` and an administrator's drop-in would do it.
    (root / "var/lib/systemd/linger").mkdir(parents=True, exist_ok=True)
    (root / "var/lib/systemd/linger/tester").touch()
    (system / "user@.service.d").mkdir(exist_ok=True)
    (system / "user@.service.d/delegate.conf").write_text("[Service]\nDelegate=cpu cpuset io memory pids\n")
    # Slow under emulation, and of no use to a guest that lives for one command.
    for name in ("systemd-udev-trigger.service", "getty.target", "getty@tty1.service", "serial-getty@.service",
                 "systemd-update-utmp.service", "systemd-random-seed.service", "systemd-hwdb-update.service",
                 "systemd-journal-flush.service", "systemd-journal-catalog-update.service", "ldconfig.service",
                 "systemd-firstboot.service", "systemd-update-done.service", "apt-daily.timer",
                 "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
                 "systemd-tmpfiles-clean.timer", "e2scrub_reap.service", "systemd-sysusers.service"):
        link(name, "/dev/null")


def emulators() -> Path:
    """A root with qemu, whose packages conflict with those of some hosts."""
    def make(place: Path) -> None:
        (place / "root").mkdir()
        debian(place / "root", ["amd64"], EMULATORS.split(), suite=STABLE)
    return made("emulators", [STABLE, EMULATORS], make)
