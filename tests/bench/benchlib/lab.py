# SPDX-License-Identifier: Apache-2.0
"""The far end, the load client, and how they are brought to bear on one contender."""
import socket
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Iterator

from harness.paths import program
from harness.ports import free_port
from harness.rabbitmq import Broker, answers_amqp
from harness.workspace import Workspace, wait_until

from . import proc
from .contenders import HOST, Contender

SETTLE_SECONDS = 0.3  # between measurements: what was closed is cleared away
ENDS = ("echo", "sink", "source")
STALL_SECONDS = 120  # longer than any load client takes


@dataclass(frozen=True)
class Settings:
    """How much is done for one value."""
    seconds: float = 2.0
    warmup_seconds: float = 0.5
    samples: int = 20000
    idle_sessions: int = 5000
    amqp_messages: int = 40000
    rounds: int = 3


QUICK = Settings(seconds=0.2, warmup_seconds=0.1, samples=500, idle_sessions=100, amqp_messages=2000, rounds=1)


class LoadFailed(RuntimeError):
    """A load client, or a proxy under it, did not do its work."""


def _values(output: str) -> dict[str, float]:
    return {key: float(value) for key, value in (line.split("=") for line in output.splitlines())}


def client_command(name: str, mode: str, target: str, **options) -> list[str]:
    """Runs one of the load clients against ADDRESS:PORT."""
    words = [str(program(name)), mode, "--target", target]
    for option, value in options.items():
        words += [f"--{option}", str(value)]
    return words


class Lab:
    """The far end's processes, and what one does with a contender in between."""

    def __init__(self, workspace: Workspace, settings: Settings):
        self.workspace = workspace
        self.settings = settings
        self.ends = {mode: workspace.start(mode, [program("bench-server"), mode, f"{HOST}:0"]) for mode in ENDS}
        self.far_end = {mode: end.wait_log(r"listening=(\S+)").group(1) for mode, end in self.ends.items()}
        self._broker_port = free_port()
        self.far_end["amqp"] = f"{HOST}:{self._broker_port}"

    @contextmanager
    def broker(self) -> Iterator[None]:
        """A RabbitMQ node during the body, not longer: an idle Erlang machine is not quite idle."""
        with Workspace(prefix="bench-broker-") as workspace:
            broker = Broker(workspace)
            broker.node.port = self._broker_port
            broker.start()
            yield

    # --- contenders

    def start(self, contender: Contender) -> Contender:
        """Starts it and waits until every service but the broker's can be reached through it."""
        contender.start(self.far_end)
        try:
            for service in ENDS:
                wait_until(lambda: self._reaches(contender, service), 30, f"{contender.title} serves {service}")
        except BaseException:
            contender.workspace.show_logs()
            contender.stop()
            raise
        return contender

    def reaches_broker(self, contender: Contender) -> None:
        wait_until(lambda: answers_amqp(HOST, int(contender.at["amqp"].split(":")[1])), 30,
                   f"{contender.title} leads to the broker")

    @staticmethod
    def _reaches(contender: Contender, service: str) -> bool:
        """Whether the far end answers now; raises when a process of the contender has ended."""
        contender.check_alive()
        host, port = contender.at[service].split(":")
        try:
            with socket.create_connection((host, int(port)), 5) as sock:
                sock.settimeout(5)
                if service != "source":  # which speaks first
                    sock.sendall(bytes(1 << 20) if service == "sink" else b"x")
                return len(sock.recv(1)) == 1
        except OSError:
            return False

    # --- load

    def command(self, contender: Contender, mode: str, service: str, **options) -> list[str]:
        return client_command("bench-load", mode, contender.at[service], **options)

    def run(self, contender: Contender, command: list[str]) -> dict[str, float]:
        """Runs a load client to its end and returns what it printed; then lets things settle."""
        done = subprocess.run(command, capture_output=True, text=True, timeout=STALL_SECONDS)
        contender.check_alive()
        if done.returncode != 0:
            raise LoadFailed(f"{contender.title}: {done.stderr.strip()}")
        time.sleep(SETTLE_SECONDS)
        return _values(done.stdout)

    def load(self, contender: Contender, mode: str, service: str, **options) -> dict[str, float]:
        return self.run(contender, self.command(contender, mode, service, **options))

    @contextmanager
    def background(self, contender: Contender, *commands: list[str]) -> Iterator[None]:
        """Keeps load clients running beside the body; fails when one doesn't last."""
        clients = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                   for command in commands]
        try:
            time.sleep(self.settings.warmup_seconds)
            yield
            for client in clients:
                if client.poll() is not None:
                    raise LoadFailed(f"{contender.title}: {client.stderr.read().strip()}")
        finally:
            for client in clients:
                client.kill()
                client.communicate()
            time.sleep(SETTLE_SECONDS)

    @contextmanager
    def held(self, contender: Contender, sessions: int) -> Iterator[None]:
        """Keeps idle sessions open through the contender during the body."""
        client = subprocess.Popen(self.command(contender, "hold", "echo", sessions=sessions), text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            if client.stdout.readline() != f"held={sessions}\n":
                raise LoadFailed(f"{contender.title}: {client.stderr.read().strip()}")
            yield
            contender.check_alive()
        finally:
            client.communicate()  # closes its standard input, which ends it
            time.sleep(SETTLE_SECONDS)

    # --- costs

    def proxies_cpu(self, contender: Contender) -> float:
        return proc.cpu_seconds(contender.pids())

    def ends_cpu(self) -> float:
        return proc.cpu_seconds(end.pid for end in self.ends.values())
