# SPDX-License-Identifier: Apache-2.0
"""What is compared: ways from a client to the far end.

A contender is given the far end's addresses by service name and offers one of its own for each. All
use their programs' defaults except where a comment says why not.
"""
import getpass
import os
import shutil
import subprocess
from pathlib import Path
from typing import Mapping, Optional

from harness.chain import Chain as Daemons, Endpoint
from harness.ports import free_port
from harness.process import Process
from harness.workspace import Workspace

HOPS = 3  # of our chain; haproxy and socat get as many
HOST = "127.0.0.1"


class NotAvailable(RuntimeError):
    """A contender's program isn't there, or can't be run here; the text says why."""


def find_program(name: str) -> str:
    """Also in the folders of system programs, which a user's PATH may lack."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if path is None:
        raise NotAvailable(f"{name} is not installed")
    return path


class Contender:
    """Base: `start` brings up processes in a workspace of their own and fills `self.hops`, a list that has the
    processes of each hop, and `self.at`, the addresses for clients by service."""
    name = ""
    title = ""
    most_idle_sessions = 1_000_000

    def __init__(self, sessions: int, workspace: Optional[Workspace] = None):
        """`sessions`: how many must be possible at a time. The workspace becomes the contender's."""
        self.sessions = sessions
        self.workspace = workspace or Workspace(prefix=f"bench-{self.name}-")
        self.hops: list[list[Process]] = []
        self.at: dict[str, str] = {}

    def start(self, far_end: Mapping[str, str]) -> "Contender":
        """Raises NotAvailable when the contender isn't installed; then nothing is left to stop."""
        try:
            self.at = {service: f"{HOST}:{free_port()}" for service in far_end}
            self.launch(far_end)
        except BaseException:
            self.stop()
            raise
        return self

    def launch(self, far_end: Mapping[str, str]) -> None:
        """Starts the processes so that `self.at[service]` leads to `far_end[service]`."""
        raise NotImplementedError

    def stop(self) -> None:
        self.workspace.close()

    def pids(self) -> list[int]:
        return [process.pid for hop in self.hops for process in hop]

    def check_alive(self) -> None:
        for hop in self.hops:
            for process in hop:
                if not process.running():
                    raise RuntimeError(f"{process.name} ended with {process.child.returncode}")


class Direct(Contender):
    """No proxy at all."""
    name = title = "direct"

    def launch(self, far_end):
        self.at = dict(far_end)


class Chain(Contender):
    """guest-proxy, embedded vsock, host-proxy, the link over plain TCP, amqp-proxy."""
    name = "chain"
    title = f"chain ({HOPS})"

    def launch(self, far_end):
        services = [service for service in far_end if service != "amqp"]
        config = self.workspace.path / "guest.conf"
        config.write_text("".join(f"[service {name}]\nlisten = {self.at[name]}\n" for name in services))
        self.daemons = Daemons(
            self.workspace, [Endpoint(*far_end["amqp"].split(":"))], guests=[101],
            amqp_args=[word for name in services for word in ("--service", f"{name}={far_end[name]}")],
            guest_args=["--config", config]).start()
        self.at["amqp"] = "%s:%d" % self.daemons.endpoint(101)
        self.hops = [[self.daemons.guests[101].process], [self.daemons.host], [self.daemons.amqp]]


class Haproxy(Contender):
    """Three haproxy processes in TCP mode."""
    name = "haproxy"
    title = f"haproxy ({HOPS})"
    options = ""

    def launch(self, far_end):
        binary = find_program("haproxy")
        following = dict(far_end)
        for hop in range(HOPS, 0, -1):
            here = self.at if hop == 1 else {service: f"{HOST}:{free_port()}" for service in far_end}
            config = self.workspace.path / f"haproxy-{hop}.cfg"
            config.write_text(self._config(here, following))
            process = self.workspace.start(f"haproxy-{hop}", [binary, "-db", "-f", config])
            self.hops.insert(0, [process])
            following = here

    def _config(self, here: Mapping[str, str], following: Mapping[str, str]) -> str:
        # One thread, as our daemons have: with fewer cores than processes more threads only cost.
        # maxconn and timeouts must admit thousands of idle sessions.
        lines = ["global", "  nbthread 1", f"  maxconn {self.sessions + 500}", "defaults", "  mode tcp",
                 f"  maxconn {self.sessions + 500}", "  timeout connect 10s", "  timeout client 1h",
                 "  timeout server 1h", *self.options.splitlines()]
        for service, address in here.items():
            lines += [f"listen {service}", f"  bind {address} backlog 4096", f"  server far {following[service]}"]
        return "\n".join(lines) + "\n"


class HaproxySplice(Haproxy):
    """The same with kernel splicing, which haproxy leaves off unless asked."""
    name = "haproxy-splice"
    title = f"hap. splice ({HOPS})"
    options = "  option splice-auto"


class Socat(Contender):
    """Three socats, each of which forks for every connection."""
    name = "socat"
    title = f"socat ({HOPS})"
    most_idle_sessions = 200  # each takes a process per hop

    def launch(self, far_end):
        binary = find_program("socat")
        following = dict(far_end)
        for hop in range(HOPS, 0, -1):
            here = self.at if hop == 1 else {service: f"{HOST}:{free_port()}" for service in far_end}
            self.hops.insert(0, [self._relay(binary, hop, service, here[service], following[service])
                                 for service in far_end])
            following = here

    def _relay(self, binary: str, hop: int, service: str, here: str, there: str) -> Process:
        # backlog: 5 by default, and a refused SYN would wait for a second
        host, port = here.split(":")
        listen = f"TCP4-LISTEN:{port},bind={host},reuseaddr,fork,nodelay,backlog=4096"
        return self.workspace.start(f"socat-{hop}-{service}", [binary, listen, f"TCP4:{there},nodelay"])


class Ssh(Contender):
    """`ssh -L` to an sshd of our own: two processes, one TCP connection, encrypted."""
    name = "ssh"
    title = "ssh -L (2)"
    most_idle_sessions = 1000  # both look at every session at each event: 5,000 take minutes to open

    def launch(self, far_end):
        ssh, sshd, keygen = find_program("ssh"), find_program("sshd"), find_program("ssh-keygen")
        folder, port = self.workspace.path, free_port()
        for key in ("host", "user"):
            subprocess.run([keygen, "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
        shutil.copy(folder / "user.pub", folder / "authorized")
        self._make_chroot()
        (folder / "sshd_config").write_text(
            f"ListenAddress {HOST}\nPort {port}\nHostKey {folder}/host\nAuthorizedKeysFile {folder}/authorized\n"
            "PermitRootLogin yes\nPasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\n"
            f"StrictModes no\nPidFile none\nAllowTcpForwarding yes\nAllowUsers {getpass.getuser()}\n")
        server = self.workspace.start("sshd", [sshd, "-D", "-e", "-f", folder / "sshd_config"])
        server.wait_log("Server listening")
        forwards = [word for service, there in far_end.items() for word in ("-L", f"{self.at[service]}:{there}")]
        client = self.workspace.start("ssh", [
            ssh, "-N", "-F", "none", "-i", folder / "user", "-p", port, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes",
            "-o", "StrictHostKeyChecking=no", "-o", f"UserKnownHostsFile={folder}/known",
            "-o", "ExitOnForwardFailure=yes", *forwards, HOST])
        self.hops = [[client], [server]]

    def _make_chroot(self) -> None:
        """As root, sshd wants an empty folder to lock itself into; Debian's service makes the same one."""
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)


ALL = {contender.name: contender for contender in (Direct, Chain, Haproxy, HaproxySplice, Socat, Ssh)}
DEFAULT = ("direct", "chain", "haproxy", "socat", "ssh")
