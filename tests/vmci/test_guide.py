#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The Programming Guide's programs on the fabric: linked with libvmci, with its static kin, or preloaded."""
import os
import re
import shutil
import subprocess
import tempfile
import unittest

from fabric import Case, program

FLAVOURS = {"guide": False, "static-guide": False, "plain-guide": True}
HEADERS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../vmci")


class Guide(Case):
    def pair(self, server, client, server_cid, client_cid):
        """Both programs of every flavour with every other."""
        for one, one_preloads in FLAVOURS.items():
            for other, other_preloads in FLAVOURS.items():
                with self.subTest(server=one, client=other):
                    yield (lambda *args, f=one, p=one_preloads: self.start(server_cid, program(f"{f}-{server}"), *args,
                                                                           preload=p),
                           lambda *args, f=other, p=other_preloads: self.start(client_cid, program(f"{f}-{client}"),
                                                                               *args, preload=p))

    def test_stream(self):
        for start_server, start_client in self.pair("stream-server", "stream-client", 2, 101):
            server = start_server("any")
            cid, port = re.fullmatch(r"listening at (\d+):(\d+)\n", server.stdout.readline()).groups()
            self.assertEqual(cid, "2")
            self.assertGreaterEqual(int(port), 1024)
            client = start_client(2, port)
            self.assertEqual(self.finish(client, "x" * 100000), "100000 bytes received\n")
            self.assertRegex(self.finish(server), r"\Aconnected from 101:\d+\n\Z")

    def test_host_to_guest_stream(self):
        for start_server, start_client in self.pair("stream-server", "stream-client", 101, 2):
            server = start_server(7007)
            self.assertEqual(server.stdout.readline(), "listening at 101:7007\n")
            self.assertEqual(self.finish(start_client(101, 7007), "hello"), "5 bytes received\n")
            self.assertRegex(self.finish(server), r"\Aconnected from 2:\d+\n\Z")

    def test_datagram(self):
        for start_server, start_client in self.pair("dgram-server", "dgram-client", 2, 101):
            server = start_server("any", 2)
            port = re.fullmatch(r"receiving at 2:(\d+)\n", server.stdout.readline())[1]
            out = self.finish(start_client(2, port))
            self.assertEqual(out, f"2:{port} answers by sendto\n2:{port} answers by connect and send\n")
            self.assertRegex(self.finish(server), r"\A9 bytes from 101:(\d+)\n19 bytes from 101:\1\n\Z")
        self.assertEqual(self.names(2) + self.names(101), [])


class Functions(Case):
    def test_on_the_fabric(self):
        self.assertEqual(self.run_as(101, program("vmci-address"), preload=False).splitlines(),
                         ["family 40", "family by fd 40", "device none", "cid 101", "version 1.0.2"])

    def test_who_we_are_must_be_known(self):
        for cid in ("", "x", "0", "1", "4294967295"):
            with self.subTest(cid=cid):
                self.assertIn("cid 4294967295\n", self.run_as(cid, program("vmci-address"), preload=False))

    def test_header_by_itself(self):
        """In C and C++, without warnings, before and after the kernel's own."""
        include = ['#include "vmci_sockets.h"', "#include <linux/vm_sockets.h>"]
        use = "int main(void) { struct sockaddr_vm a = {}; a.svm_cid = VMADDR_CID_ANY; (void)a; return 0; }"
        for compiler, language in (("cc", "c"), ("c++", "c++")):
            if not shutil.which(compiler):
                self.skipTest(f"no {compiler}")
            for lines in (include, include[::-1], include[:1]):
                with self.subTest(compiler=compiler, lines=lines), tempfile.NamedTemporaryFile("w") as source:
                    source.write("\n".join([*lines, use, ""]))
                    source.flush()
                    subprocess.run([compiler, "-Wall", "-Wextra", "-Werror", "-I", HEADERS, "-fsyntax-only", "-x",
                                    language, source.name], check=True)


if __name__ == "__main__":
    unittest.main(verbosity=2)
