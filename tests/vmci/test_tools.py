#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stock tools on the fabric by the preload library: Python's socket module, socat, ncat, each with each."""
import hashlib
import re
import unittest
from concurrent.futures import ThreadPoolExecutor

from fabric import Case, PYTHON, VSOCK
from vsock import digest_of

MIB = 1 << 20


def server_command(tool, port):
    """Reads a connection to its end, then answers with the SHA-256. ncat can't do that, over TCP neither: it ends with
    its client's side. It prints what it reads, and sends what it is given."""
    return {"python": [PYTHON, VSOCK, "serve", port, 1],
            "socat": ["socat", "-d", "-d", "-t20", f"VSOCK-LISTEN:{port}", "EXEC:sha256sum"],
            "ncat": ["ncat", "--vsock", "-v", "-l", port]}[tool]


def client_command(tool, cid, port):
    """Sends standard input, ends its side, prints the answer."""
    return {"python": [PYTHON, VSOCK, "ask", cid, port],
            "socat": ["socat", "-t20", "-", f"VSOCK-CONNECT:{cid}:{port}"],
            "ncat": ["ncat", "--vsock", cid, port]}[tool]


def who_came(tool, log):
    """The peer's CID, in the server's own words."""
    pattern = {"python": r"^from (\d+)$", "socat": r"accepting connection from AF=40 cid:(\d+) port:\d+",
               "ncat": r"Connection from (\d+)[:.]"}[tool]
    return [int(cid) for cid in re.findall(pattern, log, re.MULTILINE)]


class Tools(Case):
    def exchange(self, server_tool, client_tool, server_cid, client_cid, count, port=5000):
        """count bytes to the server, and their digest back."""
        server = self.start(server_cid, *server_command(server_tool, port), text=False)
        self.listening(server_cid, port)
        if server_tool == "ncat":
            server.stdin.write(digest_of(count).encode())
            server.stdin.flush()
        received = ThreadPoolExecutor(1).submit(server.stdout.read)
        answer = self.finish(*self.start_client(client_tool, client_cid, server_cid, port, count)).decode()
        self.assertEqual(answer.split()[0], digest_of(count))
        out = received.result(timeout=20)
        if server_tool == "ncat":
            self.assertEqual(hashlib.sha256(out).hexdigest(), digest_of(count))
            out = b""
        log = (out + server.stderr.read()).decode()
        self.assertEqual(server.wait(timeout=20), 0, log)
        self.assertEqual(who_came(server_tool, log), [client_cid], log)

    def start_client(self, tool, cid, server_cid, port, count):
        """The process, and its input: all of it, or nothing when it makes its own."""
        command = client_command(tool, server_cid, port)
        if tool == "python":
            return self.start(cid, *command, count, text=False), None
        return self.start(cid, *command, text=False), self.bytes(count)

    @staticmethod
    def bytes(count):
        block = bytes(range(256)) * 256
        return (block * (count // len(block) + 1))[:count]

    def test_each_with_each(self):
        """Guest to host and host to guest. The digest comes after the client has ended its side: a half-close."""
        port = 5000
        for server in ("python", "socat", "ncat"):
            for client in ("python", "socat", "ncat"):
                for server_cid, client_cid in ((2, 101), (101, 2)):
                    with self.subTest(server=server, client=client, to=server_cid):
                        port += 1
                        self.exchange(server, client, server_cid, client_cid, 300000, port)

    def test_100_mib(self):
        self.exchange("python", "python", 2, 101, 100 * MIB)

    def test_100_mib_between_tools(self):
        self.exchange("socat", "ncat", 101, 2, 100 * MIB)

    def test_200_at_once(self):
        server = self.start(2, PYTHON, VSOCK, "serve", 5000, 200)
        self.listening(2, 5000)
        self.assertEqual(self.run_as(101, PYTHON, VSOCK, "crowd", 2, 5000, 200), "all 200\n")
        self.assertEqual(self.finish(server), "at 2 5000\n" + "from 101\n" * 200)
        self.assertEqual(self.names(2) + self.names(101), [])

    def test_a_server_for_many(self):
        """socat forks for each; the listener stays."""
        self.start(2, "socat", "VSOCK-LISTEN:5000,fork", "EXEC:cat")
        self.listening(2, 5000)
        for i in range(5):
            self.assertEqual(self.run_as(101 + i, "socat", "-t20", "-", "VSOCK-CONNECT:2:5000", input=f"{i}"), f"{i}")
        self.assertEqual(self.names(2), ["5000.stream"])

    def test_datagrams(self):
        server = self.start(2, PYTHON, VSOCK, "receive", 6000, 2)
        self.listening(2, 6000, "dgram")
        self.assertEqual(self.run_as(101, PYTHON, VSOCK, "send", 2, 6000, "hello"), "HELLO\n")
        ncat = self.start(102, "ncat", "--vsock", "--udp", 2, 6000)
        ncat.stdin.write("ncat too")
        ncat.stdin.flush()
        self.assertEqual(ncat.stdout.read(8), "NCAT TOO")
        self.assertEqual(self.finish(server), "at 2 6000\nfrom 101\nfrom 102\n")

    def test_datagrams_to_ncat(self):
        server = self.start(2, "ncat", "--vsock", "--udp", "-v", "-l", 6000, "-e", "/bin/cat")
        self.listening(2, 6000, "dgram")
        self.assertEqual(self.run_as(101, PYTHON, VSOCK, "send", 2, 6000, "hello"), "hello\n")
        self.end(server)

    def test_errors_are_vsocks(self):
        for cid, port, text in ((2, 5001, "Connection reset by peer"), (102, 5000, "Network is unreachable")):
            client = self.start(101, "socat", "-", f"VSOCK-CONNECT:{cid}:{port}")
            _, err = client.communicate("x", timeout=20)
            self.assertNotEqual(client.returncode, 0)
            self.assertIn(text, err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
