# SPDX-License-Identifier: Apache-2.0
"""The chain with its guest's half in a virtual machine, over the kernel's vsock:

    client ─► guest-proxy ─► vsock:1:5672 ─► host-proxy ─► QEMU's user network ─► amqp-proxy ─► RabbitMQ
             └───────────── in the machine ───────────┘                          └─ on this one ─┘
"""
import re
from pathlib import Path
from typing import Optional, Sequence

from harness import Chain, Endpoint, Workspace, free_port

from .machine import HOST_ADDRESS, OWN_ADDRESS, Image, Machine

AMQP_PORT = 5672  # guest-proxy's TCP port in the machine, and host-proxy's vsock port
SANITIZER = re.compile(r"Sanitizer: |runtime error: |Assertion")


class VmChain(Chain):
    """`machine` is the one that clients are led to; another may take its place."""

    machine: Machine

    def __init__(self, workspace: Workspace, image: Image, broker: Endpoint, amqp_args: Sequence = (),
                 host_args: Sequence = (), guest_args: Sequence = ()):
        super().__init__(workspace, [broker], (), amqp_args, host_args, guest_args)
        self.image = image
        self.entries: dict[int, int] = {}  # TCP ports of the machine, and the loopback ports that lead there
        self.machines: list[Machine] = []

    def endpoint(self, _guest: int = 1, port: int = AMQP_PORT) -> Endpoint:
        return Endpoint("127.0.0.1", self.entries[port])

    def start(self) -> "VmChain":
        self.start_amqp()
        self.machine = self.boot("machine")
        self.machine.run("load loopback")
        self.start_host()
        self.start_guest_proxy()
        return self

    def boot(self, name: str, saved: Optional[Path] = None) -> Machine:
        """One more machine, from power-on or from a saved state. Three of its TCP ports can be reached."""
        self.entries = {port: free_port() for port in range(AMQP_PORT, AMQP_PORT + 3)}
        machine = Machine(self.workspace, name, self.image, self.entries, saved)
        self.machines.append(machine)
        return machine

    def start_host(self) -> None:
        self.machine.start("host-proxy", [
            "host-proxy", "--guests", f"vsock:any:{AMQP_PORT}",
            "--upstream", f"tunnel://{HOST_ADDRESS}:{self.link.port}", *self.host_args])

    def start_guest_proxy(self, name: str = "guest-proxy", port: int = AMQP_PORT, to: int = AMQP_PORT,
                          args: Sequence = ()) -> None:
        """A guest-proxy at that TCP port whose host proxy is at the vsock port `to`."""
        self.machine.start(name, [
            "guest-proxy", "--listen", f"127.0.0.1:{port}", "--listen", f"{OWN_ADDRESS}:{port}",
            "--host", f"vsock:1:{to}", *self.guest_args, *args])

    def stop(self) -> None:
        """Ends the daemons by SIGTERM and insists on exit code 0; no sanitizer may have spoken in any machine."""
        for machine in self.machines:
            spoken = [line for line in machine.process.text().splitlines() if SANITIZER.search(line)]
            assert not spoken, f"in {machine.name}:\n" + "\n".join(spoken)
        if self.machine.process.running():
            for name in ("guest-proxy", "host-proxy"):
                self.machine.signal(name, "TERM")
                status = self.machine.wait_end(name)
                assert status == 0, f"{name} ended with {status} on SIGTERM"
        super().stop()
