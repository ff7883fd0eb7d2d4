# SPDX-License-Identifier: Apache-2.0
"""One virtual machine: QEMU under software emulation, with our files as its only file system."""
import base64
import shlex
import socket
import time
from pathlib import Path
from typing import Mapping, NamedTuple, Optional, Sequence

from harness import Process, ProcessFailed, Workspace

from .kernel import QEMU, Kernel
from .initramfs import Initramfs
from .qmp import Qmp

MEMORY_MIB = 256
HOST_ADDRESS = "10.0.2.2"  # this machine's loopback, as QEMU's user network has it
OWN_ADDRESS = "10.0.2.15"
# The mark is what suite/inside.c looks for; the rest saves time.
COMMAND_LINE = "console=ttyS0 quiet panic=-1 tsc=reliable mitigations=off amqpvsock.testmachine"
BOOT_MODULES = ("virtio_pci", "virtio_net", "virtio_console")
VSOCK_SETS = {"vsock": ("vsock",), "loopback": ("vsock_loopback",), "vmci": ("vmw_vsock_vmci_transport",),
              "host": ("vhost_vsock",)}


class Failed(AssertionError):
    """A script in the machine ended with another status than 0."""


class Image(NamedTuple):
    """What machines boot from."""
    kernel: Path
    initramfs: Path


def make_image(kernel: Kernel, programs: Sequence[Path], path: Path) -> Image:
    """Writes the file system with these programs in its /bin."""
    initramfs = Initramfs()
    initramfs.add_modules("boot", kernel.modules(BOOT_MODULES))
    for name, modules in VSOCK_SETS.items():
        initramfs.add_modules(name, kernel.modules(modules))
    for program in programs:
        initramfs.add_program(program)
    initramfs.write(path)
    return Image(kernel.image, path)


class Machine:
    """Runs from its creation on; its end is the workspace's business, or `power_off`.

    With `saved` it goes on from a state that another one has saved, of the same image.
    """

    def __init__(self, workspace: Workspace, name: str, image: Image, forwards: Optional[Mapping[int, int]] = None,
                 saved: Optional[Path] = None):
        """`forwards`: TCP ports of the machine, and the loopback ports here that lead to them."""
        self.name = name
        self._requests = 0
        sockets = {end: workspace.path / f"{name}.{end}" for end in ("qmp", "agent")}
        self.process: Process = workspace.start(name, self._command(image, forwards or {}, sockets, saved, workspace))
        self.qmp = Qmp(self._connect(sockets["qmp"]))
        self._agent = self._connect(sockets["agent"])
        self._answers = self._agent.makefile("rb")
        if saved:
            self._wait_loaded()
            self.qmp("cont")
        else:
            self.process.wait_log("agent: ready", timeout=120)

    def _command(self, image: Image, forwards: Mapping[int, int], sockets: Mapping[str, Path],
                 saved: Optional[Path], workspace: Workspace) -> list:
        console = workspace.path / "logs" / f"{self.name}.log"  # where QEMU's own words go as well
        network = "".join(f",hostfwd=tcp:127.0.0.1:{here}-{OWN_ADDRESS}:{there}" for there, here in forwards.items())
        return [
            QEMU, "-accel", "tcg", "-machine", "q35", "-cpu", "max", "-smp", 1, "-m", MEMORY_MIB,
            "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-kernel", image.kernel, "-initrd", image.initramfs, "-append", COMMAND_LINE,
            "-chardev", f"file,id=console,path={console},append=on", "-serial", "chardev:console",
            "-netdev", f"user,id=network,ipv6=off{network}",
            "-device", "virtio-net-pci,netdev=network,romfile=",
            "-chardev", f"socket,id=agent,path={sockets['agent']},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=agent",
            "-qmp", f"unix:{sockets['qmp']},server=on,wait=off",
            *(["-S", "-incoming", f"exec:cat '{saved}'"] if saved else [])]

    def _connect(self, path: Path, timeout: float = 20) -> socket.socket:
        deadline = time.monotonic() + timeout
        while True:
            sock = socket.socket(socket.AF_UNIX)
            try:
                sock.connect(str(path))
                sock.settimeout(60)
                return sock
            except OSError as error:
                sock.close()
                if not self.process.running() or time.monotonic() > deadline:
                    raise ProcessFailed(f"{self.name}: {path.name}: {error}") from None
            time.sleep(0.02)

    def _wait_loaded(self, timeout: float = 60) -> None:
        deadline = time.monotonic() + timeout
        while (status := self.qmp("query-status")["status"]) == "inmigrate":
            assert time.monotonic() < deadline, f"{self.name}: {status}"
            time.sleep(0.02)

    # --- what runs in it

    def run(self, script: str, timeout: float = 60) -> str:
        """Runs a shell script in the machine and returns its output; raises Failed unless it ends with 0."""
        self._requests += 1
        self._agent.settimeout(timeout)
        try:
            self._agent.sendall(b"%d %s\n" % (self._requests, base64.b64encode(script.encode())))
            number, status, size = map(int, self._answers.readline().split())
            output = self._answers.read(size).decode(errors="replace")
        except TimeoutError:
            raise ProcessFailed(f"{self.name}: no answer within {timeout} s to: {script}") from None
        assert number == self._requests, f"the answer to request {number} came to {self._requests}"
        if status != 0:
            raise Failed(f"{self.name}: {script}: ended with {status}\n{output}")
        return output

    def start(self, name: str, argv: Sequence, ready: Optional[str] = r"\bready\b") -> None:
        """Starts a program in the background, and waits until it logs what matches `ready`."""
        mark = self.process.mark()
        self.run("start " + shlex.join([name, *map(str, argv)]))
        if ready:
            self.wait_log(name, ready, mark=mark)

    def wait_log(self, name: str, pattern: str, timeout: float = 40, mark: int = 0) -> str:
        """Waits until the program logs a line that matches, and returns that line; fails when it ends before that."""
        found = self.process.wait_log(rf"^{name}: (?:.*(?:{pattern})|ended with).*\n", timeout, mark).group().strip()
        if f"{name}: ended with" in found:
            raise ProcessFailed(f"{self.name}: {found} before it logged /{pattern}/")
        return found

    def signal(self, name: str, signal: str) -> None:
        self.run(f"kill -{signal} $(cat /run/start/{name}/pid)")

    def wait_end(self, name: str, seconds: int = 40) -> int:
        """Waits until the program has ended; its exit status (128 and the number of the signal that killed it)."""
        file = f"/run/start/{name}/status"
        return int(self.run(f"timeout {seconds} sh -c 'until [ -e {file} ]; do sleep 0.05; done' && cat {file}",
                            timeout=seconds + 20))

    # --- the machine itself

    def save(self, path: Path) -> None:
        """Stops the machine and writes its state to a file. It stays stopped: see go_on."""
        self.qmp.save(path)

    def go_on(self) -> None:
        self.qmp("cont")

    def power_off(self) -> None:
        """As pulling the plug; once is enough."""
        self.process.kill()
        self._answers.close()
        self._agent.close()
        self.qmp.close()
