# SPDX-License-Identifier: Apache-2.0
"""The base of the tests that have a virtual machine, and their main program."""
import os
import sys
import unittest
from pathlib import Path
from typing import Sequence

from harness import Endpoint, IntegrationTest, MissingProgram, Workspace, build_dir, end_on_signals, program

from .account import Account
from .chain import AMQP_PORT, VmChain
from .kernel import Unavailable, check_tools, kernel
from .machine import Image, Machine, make_image

SKIPPED = 77  # the exit code that ctest knows as "skipped"
CACHE_ENV = "AMQPVSOCK_VM_CACHE"


def built(name: str) -> list[str]:
    """The lines of a list that the build has written (CMakeLists.txt)."""
    path = build_dir() / "tests" / "vm" / name
    if not path.exists():
        raise MissingProgram(f"{path} is missing: build it, or set AMQPVSOCK_BUILD to a build tree")
    return path.read_text().split()


def kernel_image(workspace: Workspace, others: Sequence[Path] = ()) -> Image:
    """An image with the programs of tests/vm and others."""
    cache = Path(os.environ.get(CACHE_ENV) or build_dir() / "tests" / "vm" / "cache")
    programs = [Path(name) for name in built("programs")]
    return make_image(kernel(cache), [*programs, *others], workspace.path / "initramfs")


class VmTest(IntegrationTest):
    """A broker and amqp-proxy on this machine, guest-proxy and host-proxy in the virtual one: see VmChain.

    A test may `note` what it saw, for the account.
    """
    seconds = 240
    through_proxies = True
    tools: Sequence[str] = ()  # programs of this machine that the virtual one gets as well

    chain: VmChain

    @classmethod
    def make_chain(cls) -> VmChain:
        daemons = [program(name) for name in ("guest-proxy", "host-proxy")]
        image = kernel_image(cls.workspace, daemons + [Path("/usr/bin") / tool for tool in cls.tools])
        return VmChain(cls.workspace, image, Endpoint(cls.node.host, cls.node.port), cls.amqp_args, cls.host_args,
                       cls.guest_args).start()

    @property
    def machine(self) -> Machine:
        return self.chain.machine

    def note(self, text: str) -> None:
        self.__dict__.setdefault("notes", []).append(text)

    def replace_host_proxy(self) -> None:
        """Kills it, and starts another."""
        self.machine.signal("host-proxy", "KILL")
        self.assertEqual(self.machine.wait_end("host-proxy"), 128 + 9)
        self.chain.start_host()

    def resumes(self) -> int:
        """How many resumes amqp-proxy has accepted so far."""
        return self.chain.amqp.text().count(" session resumed ")

    # --- steady, the client with an account, in the machine (client/steady.c)

    def start_steady(self, port: int = AMQP_PORT, name: str = "steady", **options) -> None:
        """Starts it; returns when messages flow."""
        words = [word for option, value in options.items() for word in (f"--{option}", value)]
        self.machine.start(name, ["steady", "--port", port, "--vhost", self.vhost, "--queue",
                                  f"{name}-{self._testMethodName}", *words], ready="confirmed")
        self.wait_progress(name)

    def wait_progress(self, name: str = "steady", messages: int = 10) -> None:
        """Waits until the client got so many more messages back."""
        goal = self._consumed(name) + messages
        while self._consumed(name) < goal:
            pass

    def _consumed(self, name: str) -> int:
        """What the client says next."""
        told = self.machine.wait_log(name, r"consumed \d+", mark=self.machine.process.mark())
        return int(told.rsplit(" ", 1)[1])

    def stop_steady(self, name: str = "steady") -> None:
        """Ends the client: it must have lost nothing, had nothing twice, and never been disconnected."""
        mark = self.machine.process.mark()
        self.machine.signal(name, "TERM")
        status = self.machine.wait_end(name)
        account = self.machine.wait_log(name, "published|disconnected", mark=mark)
        self.note(account)
        self.assertEqual(status, 0, account)


def main() -> None:
    """As unittest.main, with an account; exit code 77 and the reason when there can't be a virtual machine."""
    end_on_signals()
    sys.stdout.reconfigure(line_buffering=True)
    try:
        check_tools()
    except Unavailable as reason:
        print(f"SKIPPED: {reason}")
        sys.exit(SKIPPED)
    unittest.main(testRunner=unittest.TextTestRunner(stream=sys.stdout, resultclass=Account))
