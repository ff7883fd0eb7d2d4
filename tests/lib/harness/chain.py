# SPDX-License-Identifier: Apache-2.0
"""The chain under test: guest-proxies, one host-proxy, and in tunnel mode one amqp-proxy, in front of
brokers.

`Chain`, `DirectChain` and `NoChain` answer the same questions, so that a test can be run through the
proxies in both modes and, to know what is true, straight against the broker.
"""
import os
from pathlib import Path
from typing import Iterable, NamedTuple, Sequence

from .paths import program
from .ports import free_port
from .process import Process
from .workspace import Workspace

GUEST_PORT = 5672  # the vsock port of the host on which host-proxy awaits guests
HOST_CID = 2


class Endpoint(NamedTuple):
    """Where a client connects."""
    host: str
    port: int


class NoChain:
    """No proxies: every guest's client reaches the broker itself."""
    mode = "broker"

    def __init__(self, broker: Endpoint):
        self.broker = broker

    def endpoint(self, _guest: int = 101) -> Endpoint:
        return self.broker

    def start(self) -> "NoChain":
        return self

    def stop(self) -> None:
        pass


class Guest:
    """One embedded virtual machine: a guest-proxy with a CID, listening on TCP and on a Unix socket."""

    def __init__(self, cid: int, folder: Path):
        self.cid = cid
        self.endpoint = Endpoint("127.0.0.1", free_port())
        self.unix = folder / f"guest-{cid}.sock"
        self.fabric: Path = None  # another than the chain's, for a test that stands between
        self.process: Process = None


class Chain:
    """Daemons of one build, in one workspace. Attributes `amqp`, `host` and `guests[CID].process`
    are the processes; each may be stopped and started again alone."""
    mode = "tunnel"

    def __init__(self, workspace: Workspace, brokers: Iterable[Endpoint], guests: Sequence[int] = (101, 102),
                 amqp_args: Sequence = (), host_args: Sequence = (), guest_args: Sequence = ()):
        self.workspace = workspace
        self.brokers = list(brokers)
        self.fabric = workspace.run / "fabric"
        self.link = Endpoint("127.0.0.1", free_port())
        self.upstream = self.link  # where host-proxy connects: another for a test that stands between
        self.guests = {cid: Guest(cid, workspace.path) for cid in guests}
        self.amqp_args, self.host_args, self.guest_args = list(amqp_args), list(host_args), list(guest_args)
        self.amqp: Process = None
        self.host: Process = None

    def endpoint(self, guest: int = 101) -> Endpoint:
        return self.guests[guest].endpoint

    def processes(self) -> list[Process]:
        """The daemons that were started, from the broker's side to the guests'."""
        everyone = [self.amqp, self.host] + [guest.process for guest in self.guests.values()]
        return [process for process in everyone if process is not None]

    # --- start

    def start(self) -> "Chain":
        """Starts all daemons, in the order in which nobody has to wait for another."""
        self.start_amqp()
        self.start_host()
        for cid in self.guests:
            self.start_guest(cid)
        return self

    def start_amqp(self, limits: Sequence[str] = ()) -> Process:
        argv = [program("amqp-proxy"), "--listen", f"{self.link.host}:{self.link.port}"]
        for broker in self.brokers:
            argv += ["--broker", f"{broker.host}:{broker.port}"]
        self.amqp = self._serve("amqp-proxy", argv + self.amqp_args, limits)
        return self.amqp

    def start_host(self, limits: Sequence[str] = ()) -> Process:
        self.fabric.mkdir(exist_ok=True)
        self.host = self._serve("host-proxy", [
            program("host-proxy"), "--guests", f"embedded:{GUEST_PORT}", "--fabric", self.fabric,
            "--upstream", self.upstream_url(), *self.host_args], limits)
        return self.host

    def upstream_url(self) -> str:
        return f"tunnel://{self.upstream.host}:{self.upstream.port}"

    def start_guest(self, cid: int, limits: Sequence[str] = ()) -> Process:
        guest = self.guests[cid]
        guest.process = self._serve(f"guest-proxy-{cid}", [
            program("guest-proxy"), "--listen", f"{guest.endpoint.host}:{guest.endpoint.port}",
            "--listen", f"unix:{guest.unix}", "--host", f"embedded:{HOST_CID}:{GUEST_PORT}",
            "--cid", cid, "--fabric", guest.fabric or self.fabric, *self.guest_args], limits)
        return guest.process

    def _serve(self, name: str, argv: Sequence, limits: Sequence[str] = ()) -> Process:
        log = self.workspace.path / "logs" / f"{name}.log"
        mark = log.stat().st_size if log.exists() else 0
        process = self.workspace.start(name, argv, limits=limits)
        process.wait_log(r"\bready\b", mark=mark)
        return process

    # --- stop

    def stop(self) -> None:
        """Ends every daemon by SIGTERM, guests first, and insists on exit code 0: with sanitizers,
        this is where leaks show."""
        for process in reversed(self.processes()):
            if process.running():
                code = process.terminate()
                assert code == 0, f"{process.name} ended with {code} on SIGTERM"


class DirectChain(Chain):
    """Without amqp-proxy: host-proxy speaks AMQP to the brokers itself. $AMQPVSOCK_CONNECTIONS: as --connections, where
    a test does not say it."""
    mode = "direct"
    connections = os.environ.get("AMQPVSOCK_CONNECTIONS", "1")
    scheme = "amqp"
    login = ""  # USER:PASSWORD of a fixed identity
    path = ""  # /VHOST, likewise

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        if "--connections" not in self.host_args:
            self.host_args += ["--connections", self.connections]

    @property
    def shared_connections(self) -> int:
        """How many connections to the broker those have who log in alike."""
        return 2 if "split" in self.host_args else 1

    def start_amqp(self, limits: Sequence[str] = ()) -> None:
        pass

    def upstream_url(self) -> str:
        login = f"{self.login}@" if self.login else ""
        return f"{self.scheme}://{login}" + ",".join(f"{node.host}:{node.port}" for node in self.brokers) + self.path


CHAINS = {chain.mode: chain for chain in (Chain, DirectChain)}


def mode() -> str:
    """$AMQPVSOCK_MODE: `tunnel` or `direct` through the chain (what is tested), or `broker` (the truth)."""
    chosen = os.environ.get("AMQPVSOCK_MODE", Chain.mode)
    if chosen not in CHAINS and chosen != NoChain.mode:
        raise ValueError(f"AMQPVSOCK_MODE={chosen}: tunnel, direct or broker")
    return chosen


def check_programs() -> None:
    """Raises MissingProgram when a daemon that the mode needs is not built: better now than after the
    broker's start."""
    if mode() != NoChain.mode:
        for name in ("guest-proxy", "host-proxy", "amqp-proxy"):
            program(name)
