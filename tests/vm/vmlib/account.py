# SPDX-License-Identifier: Apache-2.0
"""Test results as an account that a person can read: a line for each test, and under it what was seen."""
import time
import unittest


class Account(unittest.TextTestResult):
    def __init__(self, stream, descriptions, verbosity):
        super().__init__(stream, descriptions, verbosity=0)
        self._class = None

    def startTest(self, test):
        super().startTest(test)
        if type(test) is not self._class:
            self._class = type(test)
            self.stream.writeln(f"\n{type(test).__doc__.splitlines()[0]}")
        self._began = time.monotonic()

    def addSuccess(self, test):
        super().addSuccess(test)
        self._line("ok", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._line("FAILED", test)

    def addError(self, test, err):
        super().addError(test, err)
        self._line("ERROR", test)

    def _line(self, how: str, test) -> None:
        took = time.monotonic() - self._began if isinstance(test, unittest.TestCase) else 0
        self.stream.writeln(f"  {how:6} {test.shortDescription() or test}  ({took:.1f} s)")
        for note in getattr(test, "notes", ()):
            self.stream.writeln(f"           {note}")
        self.stream.flush()
