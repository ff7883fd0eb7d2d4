# SPDX-License-Identifier: Apache-2.0
"""Breaks under load, and the account."""
import time
from dataclasses import dataclass
from typing import Iterable, Optional

from .kinds import Kind
from .load import Account, now_ms
from .stand import Stand

REST_S = 0.15  # at most, between a recovery and the next break


@dataclass
class Row:
    """The account of one kind of break, or of a stretch of time."""
    name: str
    sessions: int = 0
    breaks: int = 0
    detaches: int = 0
    messages: int = 0
    lost: int = 0
    duplicated: int = 0
    corrupt: int = 0
    disconnects: int = 0
    pause_ms: int = 0

    FAULTS = ("lost", "duplicated", "corrupt", "disconnects")
    COLUMNS = ("sessions", "breaks", "detaches", "messages", *FAULTS, "pause_ms")

    def add(self, account: Account) -> None:
        self.sessions += account.sessions
        self.messages += account.consumed
        for name in self.FAULTS:
            setattr(self, name, getattr(self, name) + getattr(account, name))

    def faults(self) -> list[str]:
        """What must not be."""
        return [f"{self.name}: {getattr(self, name)} {name}" for name in self.FAULTS if getattr(self, name)]

    @classmethod
    def heading(cls) -> str:
        return f"{'break':14}" + "".join(f" {name:>11}" for name in cls.COLUMNS)

    def __str__(self) -> str:
        return f"{self.name:14}" + "".join(f" {getattr(self, name):11}" for name in self.COLUMNS)


class Logs:
    """Counts what the guest-proxies have logged since its creation."""

    def __init__(self, stand: Stand):
        self.marks = [(process, process.mark()) for process in stand.guest_logs()]

    def count(self, text: str) -> int:
        return sum(process.since(mark).count(text) for process, mark in self.marks)


def break_once(stand: Stand, kind: Kind) -> None:
    """One break, and all sessions at work again."""
    kind.make(stand)
    stand.await_progress(now_ms())
    time.sleep(stand.rng.uniform(0, REST_S))


def under_load(stand: Stand, name: str, breaks: Iterable[Kind], load: dict, messages: int = 0,
               seconds: float = 0) -> Row:
    """Makes the breaks with clients at work, then ends those in order. Goes on without breaks until so many
    messages were consumed; stops early after so many seconds, if any are given."""
    row, logs, began = Row(name), Logs(stand), time.monotonic()
    stand.start_loads(**load)
    for kind in breaks:
        break_once(stand, kind)
        row.breaks += 1
        if seconds and time.monotonic() - began > seconds:
            break
    while sum(load.stat().consumed for load in stand.loads.values()) < messages:
        time.sleep(0.1)
    loads = list(stand.loads.values())
    for account in stand.stop_loads():
        row.add(account)
    row.detaches = logs.count("session detached")
    row.pause_ms = max(load.pause_ms for load in loads)
    for load in loads:
        for line in load.complaints():
            print("   ", line)
    return row


def run_kind(stand: Stand, kind: Kind, rounds: Optional[int], messages: int, load: dict) -> Row:
    return under_load(stand, kind.name, [kind] * (rounds or kind.rounds), {**load, **kind.load(stand.pace)},
                      messages)
