#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Relays of vmci-nc: streams and datagrams, between the fabric and TCP, UDP and Unix sockets."""
import os
import resource
import socket
import struct
import subprocess
import threading
import unittest

from fabric import PYTHON, VSOCK
from nc import MIB, NcCase, content, free_port, free_port_of_both


class Relays(NcCase):
    def tcp_echo(self):
        """A TCP server that sends back what it has read to the end; its port."""
        listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.addCleanup(listener.close)

        def answer(stream):
            with stream:
                stream.sendall(b"".join(iter(lambda: stream.recv(1 << 16), b"")))

        def serve():
            try:
                while True:
                    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()
            except OSError:
                pass

        threading.Thread(target=serve, daemon=True).start()
        self.addCleanup(listener.shutdown, socket.SHUT_RDWR)
        return listener.getsockname()[1]

    def chain(self):
        """TCP on the guest's side to a vsock port, and from there to TCP on the host's; the first TCP port."""
        entrance = free_port()
        self.relay(2, "embedded:5000", f"tcp:127.0.0.1:{self.tcp_echo()}")
        self.relay(101, f"tcp:127.0.0.1:{entrance}", "embedded:2:5000")
        return entrance

    def test_tcp_to_vmci_to_tcp(self):
        """Many connections one after another, and the half-close goes through all of it."""
        entrance = self.chain()
        for count in (0, 1, MIB):
            answer = self.finish(self.nc(2, "-N", f"tcp:127.0.0.1:{entrance}"), content(count))
            self.assertEqual(answer, content(count))
        self.assertIn("connection from 127.0.0.1:", self.read_log())

    def test_200_at_once(self):
        entrance = self.chain()
        streams = [socket.create_connection(("127.0.0.1", entrance), 20) for _ in range(200)]
        for i, stream in enumerate(streams):
            stream.sendall(b"%d" % i)
        for i, stream in enumerate(streams):
            stream.shutdown(socket.SHUT_WR)
            self.assertEqual(stream.makefile("rb").read(), b"%d" % i)
            stream.close()

    def test_200_of_pythons_at_once(self):
        """The relay as a server for programs on the preload library."""
        server = self.start(2, PYTHON, VSOCK, "serve", 5001, 200)
        self.listening(2, 5001)
        self.relay(2, "embedded:5000", "embedded:2:5001")
        self.assertEqual(self.run_as(101, PYTHON, VSOCK, "crowd", 2, 5000, 200), "all 200\n")
        self.assertEqual(self.finish(server), "at 2 5001\n" + "from 2\n" * 200)

    def test_unix_to_vmci(self):
        path = f"{self.fabric}/entrance"
        self.relay(2, "embedded:5000", f"tcp:127.0.0.1:{self.tcp_echo()}")
        relay = self.relay(101, f"unix:{path}", "embedded:2:5000")
        self.assertEqual(self.finish(self.nc(2, "-N", f"unix:{path}"), b"by path"), b"by path")
        self.stop(relay)
        self.assertFalse(os.path.exists(path))

    def test_nobody_at_the_target_now_but_later(self):
        """The relay stays."""
        entrance = free_port()
        self.relay(101, f"tcp:127.0.0.1:{entrance}", "embedded:2:5000")
        self.assertEqual(self.finish(self.nc(2, "-N", f"tcp:127.0.0.1:{entrance}"), b""), b"")
        self.assertIn("nobody listens there", self.read_log())
        server = self.nc(2, "-l", "embedded:5000")
        self.listening(2, 5000)
        self.finish(self.nc(2, "-N", f"tcp:127.0.0.1:{entrance}"), b"now")
        self.assertEqual(self.finish(server), b"now")

    def test_a_reset_is_no_regular_end(self):
        """From TCP to TCP: nobody takes half of a file for the whole."""
        entrance = free_port()
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.relay(2, f"tcp:127.0.0.1:{entrance}", f"tcp:127.0.0.1:{listener.getsockname()[1]}")
            client = socket.create_connection(("127.0.0.1", entrance))
            server, _ = listener.accept()
        with server:
            client.sendall(b"half")
            self.assertEqual(server.recv(4), b"half")
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
            with self.assertRaises(ConnectionResetError):
                server.recv(1)

    def test_a_target_that_answers_and_closes(self):
        """First the answer, then the end; not a reset."""
        entrance = free_port()
        server = self.nc(2, "-l", "embedded:5000")
        self.listening(2, 5000)
        self.relay(101, f"tcp:127.0.0.1:{entrance}", "embedded:2:5000")
        with socket.create_connection(("127.0.0.1", entrance), 20) as client:
            client.sendall(b"question")
            self.assertEqual(server.stdout.read(8), b"question")
            server.stdin.write(b"last words")
            server.stdin.flush()
            self.assertEqual(client.recv(100), b"last words")
            self.stop(server)
            self.assertEqual(client.recv(100), b"")

    def test_a_signal_leaves_nothing(self):
        relay = self.relay(2, "embedded:5000", f"tcp:127.0.0.1:{self.tcp_echo()}")
        client = self.nc(101, "embedded:2:5000")
        self.wait_for(lambda: "connection from CID 101" in self.read_log(), "connection")
        self.stop(relay)
        self.assertEqual(client.wait(20), 0)
        self.assertEqual(self.names(2) + self.names(101), [])


class DatagramRelays(NcCase):
    def chain(self, target, *options):
        """UDP on the guest's side over VMCI datagrams to UDP on the host's; the first UDP port."""
        entrance = free_port(socket.SOCK_DGRAM)
        self.relay(2, "-u", *options, "embedded:6000", f"udp:127.0.0.1:{target}")
        self.relay(101, "-u", *options, f"udp:127.0.0.1:{entrance}", "embedded:2:6000")
        return entrance

    def udp_socket(self):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.settimeout(20)
        self.addCleanup(sock.close)
        sock.bind(("127.0.0.1", 0))
        return sock

    def test_answers_find_their_way(self):
        """Answered in the other order than asked, each client gets its own."""
        server = self.udp_socket()
        entrance = self.chain(server.getsockname()[1])
        clients = [self.udp_socket() for _ in range(20)]
        asked = []
        for i, client in enumerate(clients):
            client.sendto(b"%d" % i, ("127.0.0.1", entrance))
            asked.append(server.recvfrom(100))
        self.assertEqual(len({address for _, address in asked}), 20)
        for word, address in reversed(asked):
            server.sendto(b"answer " + word, address)
        for i, client in enumerate(clients):
            self.assertEqual(client.recvfrom(100), (b"answer %d" % i, ("127.0.0.1", entrance)))

    def test_sizes(self):
        """Empty, and as long as UDP's can be."""
        server = self.udp_socket()
        client = self.udp_socket()
        entrance = self.chain(server.getsockname()[1])
        for count in (0, 1, 1472, 65507):
            client.sendto(content(count), ("127.0.0.1", entrance))
            received, address = server.recvfrom(1 << 17)
            self.assertEqual(received, content(count))
            server.sendto(received[::-1], address)
            self.assertEqual(client.recv(1 << 17), content(count)[::-1])

    def test_idle_senders_are_forgotten(self):
        """Their socket's name goes, and the next datagram has a new one."""
        server = self.udp_socket()
        client = self.udp_socket()
        entrance = self.chain(server.getsockname()[1], "-w", "1")
        client.sendto(b"one", ("127.0.0.1", entrance))
        first = server.recvfrom(100)
        self.assertEqual(len(self.names(101)), 1)
        self.wait_for(lambda: self.names(101) == [], "end of the entry")
        self.assertIn("an idle sender is forgotten", self.read_log())
        client.sendto(b"two", ("127.0.0.1", entrance))
        second = server.recvfrom(100)
        self.assertEqual((first[0], second[0]), (b"one", b"two"))
        server.sendto(b"answer", second[1])
        self.assertEqual(client.recv(100), b"answer")

    def test_more_senders_than_descriptors(self):
        """A new one takes the place of the one that has been idle longest."""
        server = self.udp_socket()
        entrance = free_port(socket.SOCK_DGRAM)
        self.relay(2, "-u", f"udp:127.0.0.1:{entrance}", f"udp:127.0.0.1:{server.getsockname()[1]}",
                   preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32)))
        for i in range(60):
            client = self.udp_socket()
            client.sendto(b"%d" % i, ("127.0.0.1", entrance))
            word, address = server.recvfrom(100)
            server.sendto(word, address)
            self.assertEqual(client.recv(100), b"%d" % i)
        self.assertIn("too many senders", self.read_log())

    def test_strangers_are_not_answers(self):
        """Another program of the host can't slip something in by sending to the guest's socket."""
        server = self.udp_socket()
        client = self.udp_socket()
        entrance = self.chain(server.getsockname()[1])
        client.sendto(b"question", ("127.0.0.1", entrance))
        _, address = server.recvfrom(100)
        port = self.names(101)[0].split(".")[0]
        self.finish(self.nc(2, "-u", "-N", f"embedded:101:{port}"), b"forged")
        server.sendto(b"answer", address)
        self.assertEqual(client.recv(100), b"answer")

    def test_a_stock_dns_server_and_its_client(self):
        """dig asks dnsmasq, neither of which knows VMCI: UDP, VMCI datagrams, UDP."""
        port = free_port_of_both()
        dnsmasq = self.start(2, "/usr/sbin/dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv",
                             "--no-hosts", "--no-daemon", f"--port={port}", "--listen-address=127.0.0.1",
                             "--bind-interfaces", "--pid-file=", "--log-queries", "--log-facility=-",
                             "--address=/broker.example/192.0.2.7", "--txt-record=fabric.example,over VMCI",
                             preload=False, text=False)
        self.said(dnsmasq, "started")
        entrance = self.chain(port)
        dig = ["dig", "@127.0.0.1", "-p", str(entrance), "+short", "+tries=2", "+time=5"]
        for question, answer in ((["broker.example", "A"], "192.0.2.7\n"),
                                 (["fabric.example", "TXT"], '"over VMCI"\n')):
            out = subprocess.run(dig + question, capture_output=True, text=True, timeout=20, check=True).stdout
            self.assertEqual(out, answer)
        self.assertIn("datagrams from 127.0.0.1:", self.read_log())
        dnsmasq.terminate()
        self.assertIn(b"query[A] broker.example", dnsmasq.communicate(timeout=20)[1])

if __name__ == "__main__":
    unittest.main(verbosity=2)
