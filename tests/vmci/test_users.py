#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Two real users, with stock tools: who does not own CID 102's folder is not 102. As root only."""
import os
import shutil
import tempfile
import unittest

from fabric import Case, LIBRARY, PYTHON, VSOCK

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
        if not self.reaches(self.vmci_run):
            self.vmci_run = self.copy_of_programs()

    def copy_of_programs(self):
        """vmci-run and its library, where everybody may go; the path of the first."""
        folder = tempfile.mkdtemp(prefix="vmci-", dir="/tmp")
        self.addCleanup(shutil.rmtree, folder)
        os.chmod(folder, 0o755)
        for file in (self.vmci_run, LIBRARY):
            place = os.path.join(folder, os.path.basename(os.path.dirname(file)))
            os.mkdir(place)
            os.chmod(place, 0o755)
            shutil.copy(file, place)
        return os.path.join(folder, "bin", "vmci-run")

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

    def test_by_other_means(self):
        """A Unix socket of one's own reaches 102's door, but nobody opens; and it can't get a name there."""
        self.start(102, "socat", "VSOCK-LISTEN:7000,fork", "SYSTEM:echo secret", user=BOB)
        self.listening(102, 7000)
        self.assertEqual(self.run_as(2, "socat", "-u", "-T20", "VSOCK-CONNECT:102:7000", "-"), "secret\n")
        out = self.run_as(101, PYTHON, "-c", KNOCK, f"{self.fabric}/102/7000.stream", user=ALICE, preload=False)
        self.assertEqual(out, "b''\n")
        place = f"{self.fabric}/102/7001.dgram"
        self.assertIn("Permission denied", self.refused(101, ALICE, PYTHON, "-c", TAKE, place))

    def test_guest_to_guest(self):
        self.start(102, "socat", "VSOCK-LISTEN:7000,fork", "EXEC:cat", user=BOB)
        self.listening(102, 7000)
        self.assertIn("guests only talk to the host", self.refused(101, ALICE, "socat", "-", "VSOCK-CONNECT:102:7000"))


# Waits for the answer: who receives it has no one to send it to otherwise.
SEND = ("import socket; sender = socket.socket(socket.AF_VSOCK, socket.SOCK_DGRAM); sender.settimeout(20); "
        "sender.sendto(b'x', (2, 6000)); print(sender.recv(9).decode())")

# What 102 says to who comes with no name, without the library: nothing.
KNOCK = """
import socket, sys
with socket.socket(socket.AF_UNIX) as plain:
    plain.settimeout(20)
    plain.connect(sys.argv[1])
    try:
        print(plain.recv(100))
    except ConnectionResetError:
        print(b'')
"""

# A name in 102's folder for a socket of our own: what is sent to 102 would come to it.
TAKE = """
import socket, sys
socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).bind(sys.argv[1])
"""

if __name__ == "__main__":
    unittest.main(verbosity=2)
