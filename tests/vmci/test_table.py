#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The table of vmci/README.md names a test in every row, and all of them exist; so does a row for every rule."""
import glob
import os
import re
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
UNIT = os.path.join(HERE, "../unit/vmci")
README = os.path.join(HERE, "../../vmci/README.md")
# What the table calls them, and the files.
FILES = {"stream": "test_socket_stream.c", "datagram": "test_socket_datagram.c", "option": "test_socket_option.c",
         "users": "test_socket_users.c", "limits": "test_limits.c", "guide": "test_guide.py", "tools": "test_tools.py",
         "preload": "test_preload.py", "`vmci.users`": "test_users.py", "`tests/vm`": "../vm/CMakeLists.txt",
         "`unit.test_hybrid_doubles`": "test_hybrid_doubles.c", "`unit.test_hybrid_connect`": "test_hybrid_connect.c",
         "rules": "rules/*.c", "`vm.programs`": "../vm/test_programs.py",
         "`unit.test_vmci_sockets`": "test_vmci_sockets.c", "`unit.test_hybrid_owner`": "test_hybrid_owner.c"}


def rows():
    with open(README, encoding="utf-8") as file:
        section = file.read().split("## The guide, line by line")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def source_of(name):
    file = FILES[name]
    folder = UNIT if file.startswith("test_") and file.endswith(".c") else HERE
    text = ""
    for path in sorted(glob.glob(os.path.join(folder, file))):
        with open(path, encoding="utf-8") as source:
            text += source.read()
    return text


class Table(unittest.TestCase):
    def check_reference(self, reference):
        name, *tests = re.split(r":\s*", reference, maxsplit=1)
        source = source_of(name.strip())
        self.assertTrue(source, name)
        for test in re.findall(r"`(\w+)`", tests[0] if tests else ""):
            self.assertRegex(source, rf"RULE\({test}\)" if name == "rules" else rf"(void|def) {test}\(")

    def test_every_row(self):
        self.assertGreater(len(rows()), 40)
        for row in rows():
            with self.subTest(row=row[0]):
                self.assertEqual(len(row), 5)
                self.assertTrue(all(row), "an empty cell")
                if row[4] == "none: nothing to run":
                    continue
                for reference in re.split(r"; |, (?=`unit)", row[4]):
                    self.check_reference(reference)

    def test_every_rule(self):
        in_rows = "".join(row[4] for row in rows())
        for rule in re.findall(r"RULE\((\w+)\),", source_of("rules")):
            with self.subTest(rule):
                self.assertIn(f"`{rule}`", in_rows)


if __name__ == "__main__":
    unittest.main(verbosity=2)
