# SPDX-License-Identifier: Apache-2.0
"""The virtual machine's whole file system: an archive that the kernel unpacks into memory (cpio, "newc")."""
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import BinaryIO, Sequence

GUEST_FILES = Path(__file__).resolve().parents[1] / "guest"
FOLDERS = ("bin", "dev", "etc", "modules", "proc", "root", "run", "sys", "tmp")


class Initramfs:
    """Files to be, by their path in the machine: busybox, what is in guest/, and what is added."""

    def __init__(self):
        self._files: dict[str, tuple[int, bytes]] = {}
        self.add("bin/busybox", Path(shutil.which("busybox")))
        for path in GUEST_FILES.iterdir():
            self.add("init" if path.name == "init" else f"bin/{path.name}", path)

    def add(self, name: str, path: Path) -> None:
        self._files[name] = (0o755 if os.access(path, os.X_OK) else 0o644, path.read_bytes())

    def add_program(self, path: Path) -> None:
        """Puts it into /bin, and its libraries where its loader looks for them on this machine."""
        self.add(f"bin/{path.name}", path)
        done = subprocess.run(["ldd", path], capture_output=True, text=True)
        if "not found" in done.stdout:
            raise FileNotFoundError(f"{path} lacks a library:\n{done.stdout}")
        for library in re.findall(r"(/\S+) \(0x", done.stdout):
            self.add(library.lstrip("/"), Path(library))

    def add_modules(self, name: str, files: Sequence[Path]) -> None:
        """A set for guest/load, in the order of loading."""
        for path in files:
            self.add(f"modules/{path.name}", path)
        self._files[f"modules/{name}"] = (0o644, "".join(f"{path.name}\n" for path in files).encode())

    def write(self, path: Path) -> None:
        with open(path, "wb") as out:
            archive = _Cpio(out)
            for name in self._folders():
                archive.entry(name, stat.S_IFDIR | 0o755)
            # The kernel opens it for init before anything is mounted.
            archive.entry("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
            for name, (mode, content) in self._files.items():
                archive.entry(name, stat.S_IFREG | mode, content)
            archive.end()

    def _folders(self) -> list[str]:
        """Each before what is in it."""
        parents = {str(parent) for name in self._files for parent in Path(name).parents}
        return sorted((parents | set(FOLDERS)) - {"."})


class _Cpio:
    """Writes entries: see "newc" in the kernel's Documentation/driver-api/early-userspace/buffer-format.rst."""

    def __init__(self, out: BinaryIO):
        self.out = out
        self.inode = 0

    def entry(self, name: str, mode: int, content: bytes = b"", device: tuple[int, int] = (0, 0)) -> None:
        self.inode += 1
        fields = [self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(name) + 1, 0]
        self._padded(b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0")
        self._padded(content)

    def end(self) -> None:
        self.entry("TRAILER!!!", 0)

    def _padded(self, data: bytes) -> None:
        self.out.write(data + b"\0" * (-len(data) % 4))
