"""An initial RAM disk that mounts a guest's root: busybox, and the modules for it."""

from __future__ import annotations

import lzma
import re
from pathlib import Path

# Those that a kernel has built in are not among its modules.
MODULES = ["virtio_pci", "virtio_blk", "virtio_console", "virtio_rng", "crc32c_generic", "crc32c_intel", "ext4",
           "9pnet_virtio", "9p"]

INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc
$b mount -t sysfs sys /sys
$b mount -t devtmpfs dev /dev
while read -r module; do $b insmod /modules/$module 2> /dev/null; done < /modules/order
tries=0
until [ -b /dev/vda ] || [ $((tries += 1)) -gt 400 ]; do $b sleep 0.05; done
$b mount -t ext4 -o noatime /dev/vda /root || echo "cannot mount the guest's root"
init=/sbin/init
for word in $($b cat /proc/cmdline); do case $word in init=*) init=${word#init=} ;; esac; done
$b umount /proc /sys
$b mount --move /dev /root/dev
exec $b switch_root /root $init
"""


def initrd(kernel: Path, root: Path, to: Path) -> None:
    """Write one for the kernel of a directory of the cache."""
    modules = next(path for path in (kernel / "modules").resolve().iterdir())
    needs = {}
    for line in (modules / "modules.dep").read_text().splitlines():
        path, _, rest = line.partition(":")
        needs[path] = rest.split()
    by_name = {re.sub(r"\.ko.*", "", Path(path).name).replace("-", "_"): path for path in needs}
    order: list[str] = []
    for name in MODULES:
        if path := by_name.get(name):
            # modules.dep names what is needed last to first.
            order += [p for p in [*reversed(needs[path]), path] if p not in order]
    files: list[tuple[str, int, bytes]] = [(name, 0o40755, b"") for name in
                                           ("bin", "dev", "modules", "proc", "root", "sys")]
    files.append(("init", 0o100755, INIT.encode()))
    files.append(("bin/busybox", 0o100755, (root / "usr/bin/busybox").read_bytes()))
    names = [f"{at}.ko" for at in range(len(order))]
    files.append(("modules/order", 0o100644, ("\n".join(names) + "\n").encode()))
    for name, path in zip(names, order, strict=True):
        content = (modules / path).read_bytes()
        files.append((f"modules/{name}", 0o100644, lzma.decompress(content) if path.endswith(".xz") else content))
    to.write_bytes(b"".join(entry(number, *file) for number, file in enumerate([*files, ("TRAILER!!!", 0, b"")])))


def entry(number: int, name: str, mode: int, content: bytes) -> bytes:
    """A member of a cpio archive, in the format `newc`."""
    pad = lambda data: data + b"\0" * (-len(data) % 4)  # noqa: E731
    numbers = [number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0]
    header = b"070701" + b"".join(b"%08X" % n for n in numbers)
    return pad(header + name.encode() + b"\0") + pad(content)
