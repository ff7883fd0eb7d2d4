# SPDX-License-Identifier: Apache-2.0
"""Debian's cloud kernel and its modules, taken out of the package: nothing is installed on this machine."""
import fcntl
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Iterable

META_PACKAGE = "linux-image-cloud-amd64"
QEMU = "qemu-system-x86_64"


class Unavailable(Exception):
    """The machine can't run the virtual machine; the text says why."""


def check_tools() -> None:
    """Raises Unavailable when what the virtual machine needs besides the kernel is not installed."""
    if platform.machine() != "x86_64":
        raise Unavailable(f"the virtual machine is an x86-64 one, this is {platform.machine()}")
    for program, package in ((QEMU, "qemu-system-x86"), ("busybox", "busybox-static")):
        if not shutil.which(program):
            raise Unavailable(f"{program} is not installed (package {package}: deploy/install-deps test)")


class AptFailed(Exception):
    """What apt said."""


class Kernel:
    """An unpacked kernel package."""

    def __init__(self, folder: Path):
        self.image = next((folder / "boot").glob("vmlinuz-*"))
        self._modules = {path.name.removesuffix(".ko").replace("-", "_"): path for path in folder.rglob("*.ko")}

    def modules(self, names: Iterable[str]) -> list[Path]:
        """The files of these modules and of all that they need, in the order of loading."""
        order: list[Path] = []

        def add(name: str) -> None:
            path = self._modules[name]
            if path not in order:
                for needed in _depends(path):
                    add(needed)
                order.append(path)
        for name in names:
            add(name)
        return order


def _depends(module: Path) -> list[str]:
    """What the module's own .modinfo says that it needs."""
    _before, _mark, rest = module.read_bytes().partition(b"\0depends=")
    return [name.replace("-", "_") for name in rest.partition(b"\0")[0].decode().split(",") if name]


def kernel(cache: Path) -> Kernel:
    """The kernel in the cache folder, downloaded when it is not there yet. Callers at the same time wait for one."""
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder = cache / "kernel"
        if not folder.exists():
            _fetch(folder)
    return Kernel(folder)


def _fetch(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        package = _download(Path(scratch))
        draft = Path(scratch) / "unpacked"
        subprocess.run(["dpkg-deb", "--extract", package, draft], check=True)
        draft.rename(folder)


def _download(scratch: Path) -> Path:
    """The package's file: with the package lists of this machine, or with fresh ones that are thrown away."""
    if not shutil.which("apt-get"):
        raise Unavailable("this system has no apt to get Debian's kernel with")
    try:
        return _download_with(scratch, [])
    except AptFailed:
        lists = scratch / "lists"
        (lists / "partial").mkdir(parents=True)
        own_lists = ["-o", f"Dir::State::Lists={lists}", "-o", f"Dir::Cache={scratch}", "-o", "Debug::NoLocking=1"]
        _apt(scratch, "apt-get", *own_lists, "-qq", "update")
        return _download_with(scratch, own_lists)


def _download_with(scratch: Path, options: list[str]) -> Path:
    depends = _apt(scratch, "apt-cache", *options, "depends", META_PACKAGE)
    name = next((line.split()[-1] for line in depends.splitlines() if "Depends: linux-image-" in line), META_PACKAGE)
    _apt(scratch, "apt-get", *options, "-q", "download", name)
    return next(scratch.glob("linux-image-*.deb"))


def _apt(scratch: Path, *argv: str) -> str:
    done = subprocess.run(argv, cwd=scratch, env=dict(os.environ, LC_ALL="C"), stdin=subprocess.DEVNULL,
                          capture_output=True, text=True)
    if done.returncode != 0:
        raise AptFailed(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
