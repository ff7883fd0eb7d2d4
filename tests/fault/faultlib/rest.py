# SPDX-License-Identifier: Apache-2.0
"""What the daemons hold when there is nothing to do."""
import os
import time

from .stand import Stand

SETTLE_S = 90  # streams that nobody answers on are given up by then

MIB = 1 << 20


class Rest:
    """Descriptors and resident size of each daemon, between stretches of work. A process that was started anew is
    compared with its own first measure."""

    def __init__(self, stand: Stand, margin_mib: float):
        self.stand, self.margin = stand, int(margin_mib * MIB)
        self.first: dict[int, tuple[int, int]] = {}  # by pid
        self.now: dict[str, tuple[int, int, int]] = {}  # descriptors, resident size, growth of that
        self.descriptors = {process.name: process.descriptors() for process in stand.chain.processes()}

    def measure(self) -> None:
        """Waits for the daemons to let go of the last streams, then measures."""
        deadline = time.monotonic() + SETTLE_S
        while self._open() and time.monotonic() < deadline:
            time.sleep(0.1)
        for process in self.stand.chain.processes():
            size = process.rss_bytes()
            first = self.first.setdefault(process.pid, size)
            self.now[process.name] = (process.descriptors(), size, size - first)

    def _open(self) -> bool:
        """Is there more open than at the start, when there were no sessions either?"""
        return any(process.descriptors() > self.descriptors[process.name] for process in self.stand.chain.processes())

    def faults(self) -> list[str]:
        leaks = [f"{name}: {count} descriptors open at rest, {self.descriptors[name]} at the start"
                 for name, (count, _size, _growth) in self.now.items() if count > self.descriptors[name]]
        return leaks + [f"{name}: grew by {growth / MIB:.1f} MiB" for name, (_count, _size, growth) in self.now.items()
                        if growth > self.margin]

    def heading(self) -> str:
        return "descriptors and MiB of " + ", ".join(self.descriptors)

    def __str__(self) -> str:
        return " ".join(f"{count:3}/{size / MIB:5.1f}" for count, size, _growth in self.now.values())

    def forget_logs(self) -> None:
        """Empties the logs, which would otherwise fill the disk in days. They are written by appending."""
        for log in (self.stand.workspace.path / "logs").iterdir():
            os.truncate(log, 0)
