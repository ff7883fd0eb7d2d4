#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmci-nc on hybrid sockets, with doubles of VMMs: from the host to a guest by CONNECT, and from guests."""
import os
import socket
import unittest

import vmm
from nc import MIB, NcCase, content, free_port


class HybridCase(NcCase):
    def vmm(self, guest, name="v.sock"):
        double = vmm.Vmm(f"{self.fabric}/{name}", guest)
        self.addCleanup(double.close)
        return double

    def endpoint(self, port=5000, name="v.sock"):
        return f"hybrid:{self.fabric}/{name}:{port}"


class HostToGuest(HybridCase):
    def test_connects(self):
        """However the answer comes, what the guest says with it is not lost; a half-close goes through."""
        for guest in (vmm.answers_at_once, vmm.answers_late_in_pieces):
            with self.subTest(guest.__name__):
                self.vmm(guest, guest.__name__)
                endpoint = self.endpoint(5672, guest.__name__)
                client = self.nc(2, "-v", "-N", endpoint)
                out, err = client.communicate(content(MIB), timeout=20)
                self.assertEqual(client.returncode, 0, err)
                self.assertEqual(out, b"5672:" + content(MIB))
                self.assertIn(f"connected to {endpoint}", err.decode())

    def test_refusals(self):
        """A close is how a VMM says no."""
        for guest, said in ((vmm.closes_without_a_word, "nobody listens"),
                            (vmm.closes_within_the_answer, "nobody listens"),
                            (vmm.says_something_else, 'not "OK <number>"')):
            with self.subTest(guest.__name__):
                self.vmm(guest, guest.__name__)
                client = self.nc(2, self.endpoint(5000, guest.__name__))
                _, err = client.communicate(b"unheard", timeout=20)
                self.assertEqual(client.returncode, 1)
                self.assertIn(said, err.decode())

    def test_no_vmm(self):
        client = self.nc(2, self.endpoint())
        self.assertIn("No such", client.communicate(timeout=20)[1].decode())
        self.assertEqual(client.returncode, 1)

    def test_an_answer_that_never_comes(self):
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(f"{self.fabric}/v.sock")
            silent.listen()
            client = self.nc(2, "-w", 1, self.endpoint())
            self.assertEqual(client.wait(20), 1)
            self.assertIn("no connection in the time allowed", client.stderr.read().decode())

    def test_scan(self):
        """Only one of the guest's ports is open."""
        def guest(stream, port):
            if port == 5001:
                vmm.answers_late_in_pieces(stream, port)

        self.vmm(guest)
        out = self.finish(self.nc(2, "-z", f"{self.endpoint(5000)}-5002"))
        self.assertEqual(out.decode(), f"{self.endpoint(5001)} open\n")

    def test_relay(self):
        """A TCP port of the host that leads to the guest's."""
        self.vmm(vmm.answers_late_in_pieces)
        entrance = free_port()
        self.relay(2, f"tcp:127.0.0.1:{entrance}", self.endpoint())
        for word in (b"one", b"two"):
            self.assertEqual(self.finish(self.nc(2, "-N", f"tcp:127.0.0.1:{entrance}"), word), b"5000:" + word)


class GuestToHost(HybridCase):
    def listen(self, *options, endpoint):
        server = self.nc(2, "-v", *options, "-l", endpoint)
        self.said(server, "listening on")
        return server

    def listens(self, double, port=5000):
        """Waits until there is somebody to connect to."""
        self.wait_for(lambda: os.path.exists(f"{double.path}_{port}"), f"{double.path}_{port}")

    def test_listens_beside_the_vmm(self):
        """Who comes is known by the path."""
        os.mkdir(f"{self.fabric}/vm7")
        double = self.vmm(vmm.answers_at_once, "vm7/v.sock")
        server = self.listen("-N", endpoint=self.endpoint(name="*/v.sock"))
        self.listens(double)
        with double.connect(5000) as guest:
            guest.sendall(content(50000))
            guest.shutdown(socket.SHUT_WR)
            self.assertEqual(server.stdout.read(), content(50000))
            server.stdin.write(b"answer")
            server.stdin.close()
            self.assertEqual(vmm.read_all(guest), b"answer")
        self.assertEqual(server.wait(20), 0)
        self.assertIn("connection from VM vm7", server.stderr.read().decode())
        self.assertFalse(os.path.exists(f"{double.path}_5000"))

    def test_a_vm_that_comes_later(self):
        """The listener is there first; it is the VMM's socket that makes it a VM."""
        server = self.listen("-k", endpoint=self.endpoint())
        self.assertFalse(os.path.exists(f"{self.fabric}/v.sock_5000"))
        double = self.vmm(vmm.answers_at_once)
        self.listens(double)
        for word in (b"one", b"two"):
            with double.connect(5000) as guest:
                guest.sendall(word)
                self.assertEqual(server.stdout.read(3), word)
        self.stop(server)

    def test_relay(self):
        """A service of the host for guests: each VM at the same time."""
        with socket.create_server(("127.0.0.1", 0)) as service:
            for name in ("vm1", "vm2"):
                os.mkdir(f"{self.fabric}/{name}")
            doubles = [self.vmm(vmm.answers_at_once, f"{name}/v.sock") for name in ("vm1", "vm2")]
            self.relay(2, self.endpoint(5672, "*/v.sock"), f"tcp:127.0.0.1:{service.getsockname()[1]}")
            for double in doubles:
                self.listens(double, 5672)
            service.settimeout(20)
            for double in doubles:
                with double.connect(5672) as guest, service.accept()[0] as served:
                    guest.sendall(b"question")
                    self.assertEqual(served.recv(8, socket.MSG_WAITALL), b"question")
                    served.sendall(b"answer")
                    self.assertEqual(guest.recv(6, socket.MSG_WAITALL), b"answer")
        self.assertIn("VM vm1 (no CID)", self.read_log())
        self.assertIn("VM vm2 (no CID)", self.read_log())


if __name__ == "__main__":
    unittest.main(verbosity=2)
