# SPDX-License-Identifier: Apache-2.0
"""One child process with a captured log, and what /proc says about it."""
import os
import re
import signal
import subprocess
import time
from pathlib import Path
from typing import Mapping, Optional, Sequence


class ProcessFailed(AssertionError):
    """A process ended, or did not do in time what it was waited for."""


class Process:
    """A program that runs in a session of its own, its output going to a log file.

    The kernel kills it when the test itself dies (PR_SET_PDEATHSIG, by setpriv), so not even
    `kill -9` of a test leaves anything behind. That signal is sent when the *thread* that started
    the process ends: start processes from the main thread.
    """

    def __init__(self, name: str, argv: Sequence, log: Path, env: Optional[Mapping[str, str]] = None,
                 limits: Sequence[str] = (), talks: bool = False):
        """Starts argv. `limits` are arguments for prlimit(1), as `--nofile=40`. With `talks` its standard
        input and output are pipes, child.stdin and child.stdout, and only errors go to the log."""
        self.name = name
        self.log = log
        command = ["setpriv", "--pdeathsig", "KILL"]
        if limits:
            command += ["prlimit", *limits]
        self.argv = [str(word) for word in argv]
        with open(log, "ab") as out:
            self.child = subprocess.Popen(command + self.argv, stdin=subprocess.PIPE if talks else subprocess.DEVNULL,
                                          stdout=subprocess.PIPE if talks else out, stderr=out, env=env,
                                          start_new_session=True)

    @property
    def pid(self) -> int:
        return self.child.pid

    def running(self) -> bool:
        return self.child.poll() is None

    # --- the log

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def mark(self) -> int:
        """The present end of the log, to wait only for what comes after it."""
        return self.log.stat().st_size

    def since(self, mark: int) -> str:
        """What was logged after `mark`."""
        with open(self.log, "rb") as log:
            log.seek(mark)
            return log.read().decode(errors="replace")

    def wait_log(self, pattern: str, timeout: float = 60, mark: int = 0) -> re.Match:
        """Waits until a line after `mark` matches; fails when the process ends before that."""
        regex = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        while True:
            alive = self.running()
            found = regex.search(self.since(mark))
            if found:
                return found
            if not alive:
                raise ProcessFailed(f"{self.name} ended with {self.child.returncode} before it logged /{pattern}/")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} did not log /{pattern}/ within {timeout} s")
            time.sleep(0.02)

    # --- its end

    def signal(self, number: int) -> None:
        if self.running():
            os.kill(self.pid, number)

    def wait(self, timeout: float = 60) -> int:
        """Waits for the end; returns the exit code (negative: the signal)."""
        try:
            return self.child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ProcessFailed(f"{self.name} (pid {self.pid}) still runs after {timeout} s") from None

    def terminate(self, timeout: float = 60) -> int:
        """SIGTERM, then waits for the end."""
        self.signal(signal.SIGTERM)
        return self.wait(timeout)

    def kill(self) -> None:
        """Ends the process and what it started, at once. Does nothing when all is gone already."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.child.wait()

    # --- what the kernel knows

    def rss_bytes(self) -> int:
        """Resident memory."""
        return self._status_kib("VmRSS") * 1024

    def peak_bytes(self) -> int:
        """The most resident memory since the start or since reset_peak()."""
        return self._status_kib("VmHWM") * 1024

    def reset_peak(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status_kib(self, key: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise ProcessFailed(f"{self.name} has no {key}")

    def descriptors(self) -> int:
        """How many file descriptors are open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def cpu_seconds(self) -> float:
        """User and system time so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
