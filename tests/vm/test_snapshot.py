#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Snapshots of a machine in the middle of traffic: what can go on goes on, what can't is refused and harms nobody.

A state is saved with the machine stopped, and goes on in a new QEMU: streams within the machine are as they were,
every connection that led out of it is gone.
"""
import hashlib
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from vmlib import Machine, VmTest, main

STALE = "320 CONNECTION_FORCED - a newer attempt owns the session"
OFFSET = "320 CONNECTION_FORCED - offset out of range"
FLOW_PORT = 7000
FLOW_LINES = 80


class Snapshots(VmTest):
    """vm.snapshot: machines saved in the middle of traffic, then resumed, reverted and cloned"""
    tools = ("socat",)
    guest_args = ("--ping-interval", "1s", "--ping-timeout", "3s")
    host_args = ("--ping-interval", "1s", "--ping-timeout", "3s")

    @classmethod
    def make_chain(cls):
        chain = super().make_chain()
        cls.ready = cls.workspace.path / "ready"
        chain.machine.save(cls.ready)
        chain.machine.power_off()
        return chain

    def setUp(self) -> None:
        """Every test has a machine that goes on from the same state: daemons running, no sessions."""
        self.state = self.workspace.path / f"state-{self._testMethodName}"
        self.chain.machine = self.go_on("live", self.ready)

    def go_on(self, name: str, state: Path) -> Machine:
        """A machine that goes on from that state until the test ends."""
        machine = self.chain.boot(f"{name}-{self._testMethodName.removeprefix('test_')}", state)
        self.addCleanup(machine.power_off)
        return machine

    def save(self) -> None:
        """Saves the state, and lets the machine go on."""
        self.machine.save(self.state)
        self.machine.go_on()

    def climb(self) -> None:
        """Makes the session resume so often that a machine from the past can't overtake it by trying."""
        for _ in range(4):
            mark = self.machine.process.mark()
            self.replace_host_proxy()
            self.machine.wait_log("guest-proxy", "session resumed", mark=mark)
        self.wait_progress()

    def assert_refused(self, name: str, reason: str) -> None:
        """A machine goes on from the saved state: its client must be told this reason, and a new one be served."""
        past = self.go_on(name, self.state)
        told = past.wait_log("steady", "disconnected")
        self.note(f"{name}: {told}")
        self.assertEqual(told, f"steady: disconnected: {reason}")
        present, self.chain.machine = self.machine, past
        self.start_steady(name="newcomer")
        self.stop_steady("newcomer")
        self.chain.machine = present
        past.power_off()

    # --- a stream of vsock's own

    def start_flow(self) -> None:
        """Numbered lines over vsock_loopback, slowly; the receiver keeps them."""
        lines = f"for i in $(seq {FLOW_LINES}); do echo line $i; sleep 0.05; done"
        connect = f"VSOCK-CONNECT:1:{FLOW_PORT},retry=100,interval=0.1"
        self.machine.start("sink", ["socat", "-u", f"VSOCK-LISTEN:{FLOW_PORT}", "CREATE:/run/flow"], ready=None)
        self.machine.start("source", ["sh", "-c", f"({lines}) | socat -u - {connect}"], ready=None)
        self.machine.run("until grep -qs 'line 5$' /run/flow; do sleep 0.05; done")

    def flow_lines(self) -> int:
        return int(self.machine.run("wc -l </run/flow"))

    def check_flow(self) -> None:
        for name in ("source", "sink"):
            self.assertEqual(self.machine.wait_end(name), 0, name)
        should = "".join(f"line {i}\n" for i in range(1, FLOW_LINES + 1)).encode()
        self.assertEqual(self.machine.run("sha256sum </run/flow").split()[0], hashlib.sha256(should).hexdigest())

    # --- the cases

    def test_1_suspended_and_resumed(self) -> None:
        """saved, switched off for 3 s, and resumed: sessions go on, clients notice nothing"""
        self.start_steady()
        self.start_steady(name="slow", pause=200)
        self.start_flow()
        before, lines = self.resumes(), self.flow_lines()
        self.machine.save(self.state)
        self.machine.power_off()
        time.sleep(3)
        self.chain.machine = self.go_on("resumed", self.state)
        self.assertLess(self.flow_lines(), FLOW_LINES)
        for name, messages in (("steady", 20), ("slow", 3)):
            self.wait_progress(name, messages)
            self.stop_steady(name)
        self.note(self.machine.wait_log("guest-proxy", "session resumed"))
        self.assertGreaterEqual(self.resumes() - before, 2)
        self.check_flow()
        self.note(f"a stream over vsock_loopback, saved about line {lines}, ended in order with line {FLOW_LINES}")

    def test_2_reverted(self) -> None:
        """reverted to before its session resumed: the session's client is refused, a new one is served"""
        self.start_steady()
        self.save()
        self.climb()
        self.machine.power_off()
        self.assert_refused("reverted", STALE)

    def test_3_cloned(self) -> None:
        """cloned while the original goes on: the clones' clients are refused, the original's notices nothing"""
        self.start_steady()
        self.save()
        self.wait_progress()
        before = self.resumes()
        self.assert_refused("clone", OFFSET)
        self.wait_progress()
        self.assertEqual(self.resumes(), before, "the original kept its transport")
        self.climb()
        before = self.resumes()
        self.assert_refused("late-clone", STALE)
        self.wait_progress()
        self.assertEqual(self.resumes(), before, "the original kept its transport")
        self.stop_steady()

    def test_4_same_randomness(self) -> None:
        """two clones that draw the same random bytes: their new sessions are not taken for each other's"""
        self.machine.run("reseed")
        self.machine.save(self.state)
        self.machine.power_off()
        clones = [self.go_on(name, self.state) for name in ("one", "other")]
        # As a rule they are the same; not when a clone took its time, or another process drew first.
        drawn = [clone.run("od -A n -t x1 -N 16 /dev/urandom").strip() for clone in clones]
        self.note(f"/dev/urandom in them: {drawn[0]}, {'the same' if drawn[0] == drawn[1] else drawn[1]}")
        tokens = []
        for clone in clones:
            self.chain.machine = clone
            self.start_steady(name=clone.name)
            tokens += re.findall(r"session=(\w+) session open", clone.wait_log("guest-proxy", "session open"))
        self.note(f"their sessions: {', '.join(tokens)}")
        self.assertEqual(len(set(tokens)), 2)
        for clone in clones:
            self.chain.machine = clone
            self.stop_steady(clone.name)


if __name__ == "__main__":
    main()
