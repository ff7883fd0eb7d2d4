# SPDX-License-Identifier: Apache-2.0
"""What /proc says about processes with all their children: CPU time, memory; and about the machine."""
import os
import re
import resource
import subprocess
from pathlib import Path
from typing import Iterable

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state is [0], the parent [1], utime to cstime [11] to [14]."""
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def tree(roots: Iterable[int]) -> dict[int, list[str]]:
    """The processes with these ids and all their descendants: id to stat fields."""
    everyone = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                everyone[int(name)] = _stat(int(name))
            except (FileNotFoundError, ProcessLookupError):
                pass  # it ended meanwhile
    children: dict[int, list[int]] = {}
    for pid, fields in everyone.items():
        children.setdefault(int(fields[1]), []).append(pid)
    found, todo = {}, list(roots)
    while todo:
        pid = todo.pop()
        if pid in everyone and pid not in found:
            found[pid] = everyone[pid]
            todo += children.get(pid, [])
    return found


def cpu_seconds(roots: Iterable[int]) -> float:
    """User and system time of the trees so far, with children that have ended and were waited for."""
    return sum(int(ticks) for fields in tree(roots).values() for ticks in fields[11:15]) / TICKS_PER_SECOND


def memory_bytes(roots: Iterable[int]) -> int:
    """Resident memory of the trees; what several processes share is counted once (Pss)."""
    total_kib = 0
    for pid in tree(roots):
        try:
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue  # it ended meanwhile
        total_kib += int(re.search(r"^Pss:\s+(\d+)", rollup, re.MULTILINE).group(1))
    return total_kib * 1024


def allow_descriptors(wanted: int) -> int:
    """Raises the limit on descriptors, which children inherit, as far as allowed; returns what it is."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
            return wanted
        except (ValueError, PermissionError):
            pass
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def _version(*command: str) -> str:
    """The first version number in what a program prints; empty when it isn't installed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""
    found = re.search(r"\d+\.\d[\w.]*", done.stdout + done.stderr)
    return found.group(0) if found else ""


def machine() -> str:
    """One line: processor, cores, memory, kernel."""
    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    name = model.group(1) if model else os.uname().machine
    return f"{name}, {len(os.sched_getaffinity(0))} cores, {gib:.0f} GiB, {os.uname().sysname} {os.uname().release}"


def versions() -> str:
    """One line: the programs that are compared with, as far as they are installed."""
    asked = {"haproxy": ("/usr/sbin/haproxy", "-v"), "socat": ("socat", "-V"), "OpenSSH": ("ssh", "-V")}
    found = {name: _version(*command) for name, command in asked.items()}
    return ", ".join(f"{name} {version}" for name, version in found.items() if version)
