#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two real users, with stock tools: who does not own CID 102's folder is not 102. As root only."""
import os
import unittest

from fabric import Case, PYTHON, VSOCK, program

ALICE = 65534  # is 101
BOB = 1        # is 102


@unittest.skipUnless(os.geteuid() == 0, "needs root: two users")
class Users(Case):
    def setUp(self):
        super().setUp()
        for cid, owner in ((2, 0), (101, ALICE), (102, BOB)):
            os.mkdir(f"{self.fabric}/{cid}")
            os.chmod(f"{self.fabric}/{cid}", 0o711)
            os.chown(f"{self.fabric}/{cid}", owner, owner)
        # The build may be in a folder that only we may enter.
        if not self.reaches(program("vmci-run")):
            self.skipTest("other users can't reach the programs in the build folder")

    @staticmethod
    def reaches(path):
        parts = os.path.abspath(path).split("/")
        return all(os.stat("/".join(parts[:i]) or "/").st_mode & 0o001 for i in range(1, len(parts) + 1))

    def refused(self, cid, user, *command):
        run = self.start(cid, *command, user=user)
        out, err = run.communicate("x", timeout=20)
        self.assertNotEqual(run.returncode, 0, out)
        return err

    def test_streams(self):
        server = self.start(2, "socat", "-d", "-d", "VSOCK-LISTEN:5000,fork", "EXEC:cat")
        self.listening(2, 5000)
        client = ["socat", "-t20", "-", "VSOCK-CONNECT:2:5000"]
        self.assertEqual(self.run_as(102, *client, user=BOB, input="b"), "b")
        self.assertEqual(self.run_as(101, *client, user=ALICE, input="a"), "a")
        self.assertIn("belongs to uid 1", self.refused(102, ALICE, *client))
        self.assertIn("belongs to uid 0", self.refused(2, ALICE, *client))
        server.terminate()
        _, err = server.communicate(timeout=20)
        self.assertEqual([line.split("cid:")[1].split()[0] for line in err.splitlines() if "accepting conn" in line],
                         ["102", "101"])

    def test_datagrams(self):
        server = self.start(2, PYTHON, VSOCK, "receive", 6000, 1)
        self.listening(2, 6000, "dgram")
        self.assertIn("belongs to uid 1", self.refused(102, ALICE, PYTHON, "-c", SEND))
        self.assertEqual(self.run_as(102, PYTHON, "-c", SEND, user=BOB), "X\n")
        self.assertEqual(self.finish(server), "at 2 6000\nfrom 102\n")

    def test_traffic(self):
        """102's sockets can neither be taken over nor taken away."""
        self.start(102, "socat", "VSOCK-LISTEN:7000,fork", "EXEC:cat", user=BOB)
        self.listening(102, 7000)
        self.assertIn("belongs to uid 1", self.refused(102, ALICE, "socat", "VSOCK-LISTEN:7000", "-"))
        self.assertIn("Permission denied", self.refused(101, ALICE, "rm", "-f", f"{self.fabric}/102/7000.stream"))
        self.assertIn("Permission denied", self.refused(101, ALICE, "ls", f"{self.fabric}/102"))
        self.assertEqual(self.run_as(2, "socat", "-t20", "-", "VSOCK-CONNECT:102:7000", input="h"), "h")

    def test_guest_to_guest(self):
        self.start(102, "socat", "VSOCK-LISTEN:7000,fork", "EXEC:cat", user=BOB)
        self.listening(102, 7000)
        self.assertIn("guests only talk to the host", self.refused(101, ALICE, "socat", "-", "VSOCK-CONNECT:102:7000"))


# Waits for the answer: who receives it has no one to send it to otherwise.
SEND = ("import socket; sender = socket.socket(socket.AF_VSOCK, socket.SOCK_DGRAM); sender.settimeout(20); "
        "sender.sendto(b'x', (2, 6000)); print(sender.recv(9).decode())")

if __name__ == "__main__":
    unittest.main(verbosity=2)
