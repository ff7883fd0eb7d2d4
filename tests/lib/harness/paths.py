# SPDX-License-Identifier: Apache-2.0
"""Where things are: the source tree and the programs of one build."""
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
DEFAULT_PRESET = "asan"


class MissingProgram(RuntimeError):
    """A program under test has not been built."""


def build_dir() -> Path:
    """The build tree to take programs from: $AMQPVSOCK_BUILD, or build/asan of this checkout."""
    chosen = os.environ.get("AMQPVSOCK_BUILD")
    return Path(chosen).resolve() if chosen else ROOT / "build" / DEFAULT_PRESET


def program(name: str) -> Path:
    """The path of one of our programs; raises MissingProgram when it is not there."""
    path = build_dir() / "bin" / name
    if not os.access(path, os.X_OK):
        raise MissingProgram(f"{path} is missing: build it, or set AMQPVSOCK_BUILD to a build tree")
    return path
