# SPDX-License-Identifier: Apache-2.0
"""Builds what is to be measured."""
import subprocess
import sys
from pathlib import Path

from harness.paths import ROOT


def release() -> Path:
    """Configures and builds the release preset; returns its build tree. Ends the process when that fails."""
    for command in (["cmake", "--preset", "release"], ["cmake", "--build", "--preset", "release"]):
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            print(done.stdout[-4000:], file=sys.stderr)
            sys.exit(f"{' '.join(command)} failed")
    return ROOT / "build" / "release"
