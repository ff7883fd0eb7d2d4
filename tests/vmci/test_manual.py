#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The manual pages as they are installed: well-formed, and complete."""
import glob
import os
import re
import subprocess
import tempfile
import unittest

from fabric import BUILD, program

HEADER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../vmci/vmci_sockets.h")


class Manual(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory(prefix="vmci-")
        cls.addClassCleanup(folder.cleanup)
        subprocess.run(["cmake", "--install", os.path.join(BUILD, "vmci"), "--prefix", folder.name], check=True,
                       stdout=subprocess.DEVNULL)
        cls.man = os.path.join(folder.name, "share", "man")

    def text(self, section, name):
        env = dict(os.environ, LC_ALL="C.UTF-8", MANWIDTH="100")
        run = subprocess.run(["man", "--warnings=w", "-M", self.man, section, name], capture_output=True, text=True,
                             env=env, check=True)
        self.assertEqual(run.stderr, "")
        return run.stdout

    def test_no_warnings(self):
        pages = [os.path.basename(path) for path in glob.glob(f"{self.man}/man?/*")]
        self.assertEqual(len(pages), 11)
        for page in pages:
            with self.subTest(page):
                name, section = page.rsplit(".", 1)
                self.assertIn("NAME", self.text(section, name))

    def test_every_function_has_a_page(self):
        with open(HEADER, encoding="utf-8") as header:
            functions = re.findall(r"^\w+ (VMCISock_\w+)\(", header.read(), re.MULTILINE)
        self.assertEqual(len(functions), 5)
        for function in functions:
            with self.subTest(function):
                self.assertIn(f"{function}(", self.text("3", function))

    def test_every_option_of_the_header(self):
        with open(HEADER, encoding="utf-8") as header:
            options = set(re.findall(r"#define (SO_VMCI_\w+)", header.read())) - {"SO_VMCI_NONBLOCK_TXRX"}
        page = self.text("7", "vmci_sockets")
        self.assertEqual({option for option in options if option not in page}, set())

    def test_every_option_of_the_tools(self):
        """What --help has, the page has too."""
        for name in ("vmci-nc", "vmci-cid", "vmci-run"):
            usage = subprocess.run([program(name), "--help"], capture_output=True, text=True, check=True).stdout
            options = re.findall(r"^  -\w, (--[\w-]+)", usage, re.MULTILINE)
            self.assertGreater(len(options), 1)
            page = self.text("1", name)
            self.assertEqual([option for option in options if option != "--help" and option not in page], [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
