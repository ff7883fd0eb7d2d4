#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""vmci's kernel transport on a real kernel's AF_VSOCK."""
import re
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness import Workspace
from vmlib.case import built, kernel_image, main
from vmlib.machine import Machine


class KernelTransport(unittest.TestCase):
    """vm.kernel: the kernel transport of vmci, in a virtual machine of our own"""

    @classmethod
    def setUpClass(cls) -> None:
        cls.workspace = Workspace()
        cls.addClassCleanup(cls.workspace.close)
        began = time.monotonic()
        cls.machine = Machine(cls.workspace, "machine", kernel_image(cls.workspace))
        cls.boot_seconds = time.monotonic() - began

    def setUp(self) -> None:
        self.notes: list[str] = []

    def suite(self, name: str, *arguments: str) -> None:
        """Runs a cmocka program in the machine and notes its tests."""
        output = self.machine.run(" ".join([name, *arguments]), timeout=120)
        self.notes += [f"{name}: {test.removeprefix('test_').replace('_', ' ')}"
                       for test in re.findall(r"\[       OK \] (\w+)", output)]
        self.assertIn("[  PASSED  ]", output)

    def test_1_no_module(self) -> None:
        """without the module vsock"""
        self.notes.append(f"Linux {self.machine.run('uname -r').strip()}, up in {self.boot_seconds:.1f} s")
        self.suite("test_vm_absent", "no-module")

    def test_2_no_transport(self) -> None:
        """with the module, and no transport"""
        self.machine.run("load vsock")
        self.suite("test_vm_absent", "no-transport")

    def test_3_suites(self) -> None:
        """with vsock_loopback"""
        self.machine.run("load loopback")
        for name in built("unit-tests"):
            self.suite(name)


if __name__ == "__main__":
    main()
