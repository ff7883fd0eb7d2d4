#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""vmci-nc and vmci-cid on the fabric: alone, and with stock tools on the preload library, both roles."""
import hashlib
import os
import socket
import subprocess
import threading
import unittest

from fabric import Case, PYTHON, VSOCK, program
from nc import MIB, NcCase, content, free_port
from vsock import digest_of


class Talk(NcCase):
    def test_connect_and_listen(self):
        """Each way: input to the other's output, and it is over for both when one side closes."""
        for port, (server_cid, client_cid) in ((5000, (2, 101)), (5001, (101, 2))):
            server = self.nc(server_cid, "-v", "-N", "-l", f"embedded:{port}")
            self.listening(server_cid, port)
            client = self.nc(client_cid, "-v", "-N", f"embedded:{server_cid}:{port}")
            client.stdin.write(b"to the server")
            client.stdin.close()
            self.assertEqual(server.stdout.read(13), b"to the server")
            server.stdin.write(b"to the client")
            server.stdin.close()
            self.assertEqual(client.stdout.read(), b"to the client")
            self.assertEqual(client.wait(20), 0)
            self.assertEqual(server.wait(20), 0)
            self.assertIn(f"connection from CID {client_cid} port ", server.stderr.read().decode())
            self.assertIn(f"connected to embedded:{server_cid}:{port}", client.stderr.read().decode())
            self.assertEqual(self.names(2) + self.names(101), [])

    def test_the_words_of_nc(self):
        """CID PORT, and PORT to listen."""
        server = self.nc(2, "-l", 5000)
        self.listening(2, 5000)
        self.assertEqual(self.finish(self.nc(101, "-N", 2, 5000), b"short"), b"")
        self.assertEqual(self.finish(server), b"short")

    def test_without_n_the_end_of_input_is_kept(self):
        server = self.nc(2, "-l", "embedded:5000")
        self.listening(2, 5000)
        client = self.nc(101, "embedded:2:5000")
        client.stdin.write(b"question")
        client.stdin.close()
        self.assertEqual(server.stdout.read(8), b"question")
        with self.assertRaises(subprocess.TimeoutExpired):
            server.wait(0.3)
        server.stdin.write(b"answer")
        server.stdin.flush()
        self.assertEqual(client.stdout.read(6), b"answer")
        self.stop(server)
        self.assertEqual(client.wait(20), 0)

    def test_half_close_with_long_answers(self):
        """Both send more than buffers hold; the first to end hears all of the other."""
        server = self.nc(2, "-N", "-l", "embedded:5000")
        self.listening(2, 5000)
        client = self.nc(101, "-N", "embedded:2:5000")
        received = []
        reader = threading.Thread(target=lambda: received.append(server.communicate(content(3 * MIB), 20)[0]))
        reader.start()
        self.assertEqual(self.finish(client, content(MIB)), content(3 * MIB))
        reader.join()
        self.assertEqual(received, [content(MIB)])

    def test_the_peers_end_goes_on_to_a_pipeline(self):
        """Standard output ends, and the answer of what reads there still goes back."""
        server = self.nc(2, "-N", "-l", "embedded:5000")
        self.listening(2, 5000)
        client = self.nc(101, "-N", "embedded:2:5000")
        client.stdin.write(content(50000))
        client.stdin.close()
        watchdog = threading.Timer(20, server.kill)
        watchdog.start()
        self.addCleanup(watchdog.cancel)
        server.stdin.write(hashlib.sha256(server.stdout.read()).hexdigest().encode())
        server.stdin.close()
        self.assertEqual(client.stdout.read().decode(), digest_of(50000))
        self.assertEqual(server.wait(20), 0)

    def test_keep_listening_with_half_close(self):
        """There standard output is needed again."""
        server = self.nc(2, "-N", "-k", "-l", "embedded:5000", stdin=subprocess.DEVNULL)
        self.listening(2, 5000)
        for i in range(3):
            self.finish(self.nc(101, "-N", "embedded:2:5000"), b"%d" % i)
        self.assertEqual(server.stdout.read(3), b"012")
        self.stop(server)

    def test_keep_listening(self):
        server = self.nc(2, "-k", "-l", "embedded:5000", stdin=subprocess.DEVNULL)
        self.listening(2, 5000)
        for i in range(5):
            self.finish(self.nc(101 + i, "-N", "embedded:2:5000"), b"%d" % i)
        self.assertEqual(server.stdout.read(5), b"01234")
        self.stop(server)
        self.assertEqual(self.names(2), [])

    def test_regular_files(self):
        with open(f"{self.fabric}/in", "wb") as file:
            file.write(content(MIB))
        with open(f"{self.fabric}/out", "wb") as out:
            server = self.nc(2, "-l", "embedded:5000", stdout=out)
        self.listening(2, 5000)
        with open(f"{self.fabric}/in", "rb") as file:
            self.finish(self.nc(101, "-N", "embedded:2:5000", stdin=file))
        self.finish(server)
        with open(f"{self.fabric}/out", "rb") as out:
            self.assertEqual(out.read(), content(MIB))

    def test_without_standard_input(self):
        """No socket takes its number."""
        server = self.nc(2, "-l", "embedded:5000", preexec_fn=lambda: os.close(0))
        self.listening(2, 5000)
        self.finish(self.nc(101, "-N", "embedded:2:5000"), b"heard")
        self.assertEqual(self.finish(server), b"heard")

    def test_idle(self):
        server = self.nc(2, "-l", "embedded:5000")
        self.listening(2, 5000)
        client = self.nc(101, "-w", 1, "embedded:2:5000")
        self.assertEqual(client.wait(20), 1)
        self.assertIn("timed out", client.stderr.read().decode())
        self.finish(server)

    def test_unix_and_tcp(self):
        for endpoint in (f"unix:{self.fabric}/s", f"tcp:127.0.0.1:{free_port()}", f"tcp:[::1]:{free_port()}"):
            with self.subTest(endpoint):
                server = self.nc(2, "-v", "-l", endpoint)
                self.said(server, "listening on")
                self.finish(self.nc(2, "-N", endpoint), b"plain")
                self.assertEqual(self.finish(server), b"plain")
        self.assertFalse(os.path.exists(f"{self.fabric}/s"))

    def test_unix_names_of_the_dead_and_of_the_living(self):
        path = f"{self.fabric}/s"
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(path)
        server = self.nc(2, "-v", "-l", f"unix:{path}")
        self.said(server, "listening on")
        second = self.nc(2, "-l", f"unix:{path}")
        self.assertEqual(second.wait(20), 1)
        self.assertIn("Address already in use", second.stderr.read().decode())
        self.assertTrue(os.path.exists(path))


class Datagrams(NcCase):
    def test_both_ways(self):
        server = self.nc(2, "-v", "-u", "-l", "embedded:6000")
        self.listening(2, 6000, "dgram")
        client = self.nc(101, "-u", "embedded:2:6000")
        client.stdin.write(b"question")
        client.stdin.flush()
        self.assertEqual(server.stdout.read(8), b"question")
        self.said(server, "datagrams from CID 101 port ")
        server.stdin.write(b"answer")
        server.stdin.flush()
        self.assertEqual(client.stdout.read(6), b"answer")
        self.stop(client)
        self.stop(server)
        self.assertEqual(self.names(2) + self.names(101), [])

    def test_one_sender_or_any(self):
        """Without -k strangers are not heard."""
        for options, heard in ((("-u", "-l"), b"first"), (("-u", "-k", "-l"), b"firstsecond")):
            server = self.nc(2, *options, "-w", 1, "embedded:6000")
            self.listening(2, 6000, "dgram")
            self.finish(self.nc(101, "-u", "-N", "embedded:2:6000"), b"first")
            self.finish(self.nc(102, "-u", "-N", "embedded:2:6000"), b"second")
            self.assertEqual(self.finish(server), heard)

    def test_nobody_receives(self):
        client = self.nc(101, "-u", "-N", "embedded:2:6000")
        _, err = client.communicate(b"lost", timeout=20)
        self.assertIn("No route to host", err.decode())

    def test_python_and_ncat(self):
        """As servers and as clients."""
        server = self.start(2, PYTHON, VSOCK, "receive", 6000, 1)
        self.listening(2, 6000, "dgram")
        client = self.nc(101, "-u", "embedded:2:6000")
        client.stdin.write(b"hello")
        client.stdin.flush()
        self.assertEqual(client.stdout.read(5), b"HELLO")
        self.assertEqual(self.finish(server), "at 2 6000\nfrom 101\n")
        for command in ([PYTHON, VSOCK, "send", 2, 6001, "hello"], ["ncat", "--vsock", "--udp", 2, 6001]):
            server = self.nc(2, "-u", "-l", "embedded:6001")
            self.listening(2, 6001, "dgram")
            client = self.start(101, *command, text=False)
            if command[0] == "ncat":
                client.stdin.write(b"hello")
                client.stdin.flush()
            self.assertEqual(server.stdout.read(5), b"hello")
            server.stdin.write(b"answer")
            server.stdin.flush()
            self.assertEqual(client.stdout.read(6), b"answer")
            self.stop(server)


class Tools(NcCase):
    """With stock tools, both roles each. As a client, vmci-nc reads the digest after its own end."""

    def ask(self, cid, command, count):
        server = self.start(2, *command, text=False)
        self.listening(2, 5000)
        answer = self.finish(self.nc(cid, "-N", "embedded:2:5000"), content(count))
        self.assertEqual(answer.split()[0].decode(), digest_of(count))
        out, err = server.communicate(timeout=20)
        self.assertEqual(server.returncode, 0, err)
        return (out + err).decode()

    def test_connects_to_python(self):
        self.assertIn("from 101\n", self.ask(101, [PYTHON, VSOCK, "serve", 5000, 1], 300000))

    def test_connects_to_socat(self):
        log = self.ask(101, ["socat", "-d", "-d", "-t20", "VSOCK-LISTEN:5000", "EXEC:sha256sum"], 300000)
        self.assertIn("accepting connection from AF=40 cid:101 port:", log)

    def test_100_mib(self):
        self.ask(101, [PYTHON, VSOCK, "serve", 5000, 1], 100 * MIB)

    def test_connects_to_ncat(self):
        """ncat as a server ends with its client's side: so it answers before."""
        server = self.start(2, "ncat", "--vsock", "-v", "-l", 5000, text=False)
        self.listening(2, 5000)
        server.stdin.write(b"answer")
        server.stdin.flush()
        client = self.nc(101, "-N", "embedded:2:5000")
        self.assertEqual(client.stdout.read(6), b"answer")
        client.stdin.write(content(300000))
        client.stdin.close()
        self.assertEqual(server.stdout.read(), content(300000))
        self.assertEqual(client.wait(20), 0)
        self.assertIn("Connection from 101", server.stderr.read().decode())

    def accept(self, count, command, input=None):
        """All that the tool sends comes, with its CID; the answer follows when the tool has ended its side."""
        server = self.nc(2, "-v", "-N", "-l", "embedded:5000")
        self.listening(2, 5000)
        client = self.start(101, *command, text=False)
        answer = []
        both = threading.Thread(target=lambda: answer.append(client.communicate(input, timeout=60)[0]))
        both.start()
        self.assertEqual(hashlib.sha256(server.stdout.read(count)).hexdigest(), digest_of(count))
        server.stdin.write(b"heard\n")
        server.stdin.close()
        both.join()
        self.assertEqual(answer, [b"heard\n"])
        self.assertEqual(server.wait(20), 0)
        self.assertIn("connection from CID 101 port", server.stderr.read().decode())

    def test_python_connects(self):
        self.accept(300000, [PYTHON, VSOCK, "ask", 2, 5000, 300000])

    def test_socat_connects(self):
        self.accept(300000, ["socat", "-t20", "-", "VSOCK-CONNECT:2:5000"], content(300000))

    def test_ncat_connects(self):
        self.accept(300000, ["ncat", "--vsock", 2, 5000], content(300000))

    def test_100_mib_received(self):
        self.accept(100 * MIB, ["socat", "-t20", "-", "VSOCK-CONNECT:2:5000"], content(100 * MIB))


class Scan(NcCase):
    def test_some_of_a_range(self):
        for port in (5001, 5003):
            self.nc(2, "-k", "-l", f"embedded:{port}", stdin=subprocess.DEVNULL)
            self.listening(2, port)
        scan = self.nc(101, "-v", "-z", "embedded:2:5000-5004")
        out, err = scan.communicate(timeout=20)
        self.assertEqual(out, b"embedded:2:5001 open\nembedded:2:5003 open\n")
        self.assertEqual(scan.returncode, 0)
        self.assertEqual(err.decode().count("nobody listens there"), 3)

    def test_none(self):
        for endpoint in ("embedded:2:5000-5004", "embedded:2:5000", f"tcp:127.0.0.1:{free_port()}",
                         f"unix:{self.fabric}/a-b"):
            self.assertEqual(self.finish(self.nc(101, "-z", endpoint), code=1), b"")

    def test_tcp(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            endpoint = f"tcp:127.0.0.1:{listener.getsockname()[1]}"
            self.assertEqual(self.finish(self.nc(101, "-z", endpoint)), f"{endpoint} open\n".encode())

    def test_ranges_that_are_none(self):
        for ports in ("5-4", "0-4", "1-", "-4", "a-b", "1-2-3", "1-4294967295"):
            self.finish(self.nc(101, "-z", f"embedded:2:{ports}"), code=2)


class Arguments(NcCase):
    def test_help(self):
        for name in ("vmci-nc", "vmci-cid"):
            out = subprocess.run([program(name), "--help"], capture_output=True, text=True, check=True).stdout
            self.assertTrue(out.startswith(f"usage: {name}"))

    def test_what_does_not_go_together(self):
        for words, said in ((["-l", "-r", "a", "b"], "exclude each other"), (["-k", "embedded:2:1"], "-k goes with -l"),
                            (["-N", "-r", "a", "b"], "-N goes with"),
                            (["-z", "-u", "embedded:2:1"], "-z is for streams"),
                            ([], "expected one endpoint"), (["-r", "embedded:5000"], "expected two endpoints"),
                            (["-w", "0", "embedded:2:1"], "-w: expected"), (["-x"], "--help"),
                            (["gopher:2:1"], "expected vsock:CID:PORT"), (["embedded:5000"], "name a CID"),
                            (["-u", "tcp:127.0.0.1:1"], "TCP knows no datagrams"),
                            (["udp:127.0.0.1:1"], "UDP goes with -u"), (["-u", "hybrid:/x:1"], "know no datagrams"),
                            (["tcp:::1:80"], "[ADDRESS]:PORT"), (["tcp::80"], "a host to connect to"),
                            (["unix:"], "expected a path"), (["unix:" + "x" * 108], "107 bytes"),
                            (["tcp:127.0.0.1:port"], "tcp:127.0.0.1:port: ")):
            with self.subTest(words):
                process = self.nc(101, *words)
                _, err = process.communicate(timeout=20)
                self.assertEqual(process.returncode, 2, err)
                self.assertIn(said, err.decode())

    def test_errors_of_the_fabric(self):
        for endpoint, said in (("embedded:2:5000", "nobody listens"),
                               ("embedded:102:5000", "guests only talk to the host")):
            process = self.nc(101, endpoint)
            self.assertIn(said, process.communicate(timeout=20)[1].decode())
            self.assertEqual(process.returncode, 1)
        process = self.nc(2, "-l", "embedded:101:5000")
        self.assertIn("not ours", process.communicate(timeout=20)[1].decode())
        self.assertEqual(process.returncode, 1)

    def test_who_and_where_by_options(self):
        """They are stronger than the environment; and -v tells the properties."""
        other = f"{self.fabric}/other"
        server = self.nc(101, "-v", "-c", 2, "-f", other, "-l", 5000)
        self.assertIn("transport embedded, family 40, local CID 2, version 1.0.2", self.said(server, "listening on"))
        self.assertEqual(os.listdir(f"{other}/2"), ["5000.stream"])
        self.finish(self.nc(2, "-N", "-c", 103, "-f", other, 2, 5000), b"")
        self.assertIn("connection from CID 103", server.communicate(timeout=20)[1].decode())


class Cid(Case):
    def test_number_and_reason(self):
        for cid, role in ((2, "a host"), (101, "a virtual machine")):
            self.assertEqual(self.run_as(cid, program("vmci-cid"), preload=False), f"{cid}\n")
            out = self.run_as(cid, program("vmci-cid"), "-v", preload=False)
            self.assertEqual(out.splitlines(), [str(cid), f"which is: {role}",
                                                f"because: VMCI_CID is {cid} in the environment",
                                                "transport: embedded", f"fabric: {self.fabric}", "family: 40",
                                                "version: 1.0.2"])

    def test_no_number(self):
        for cid, said in (("1", "CID 1: expected 2 for the host"), ("x", "expected a number"), ("", "own CID unknown")):
            process = self.start(cid, program("vmci-cid"), preload=False)
            self.assertIn(said, process.communicate(timeout=20)[1])
            self.assertEqual(process.returncode, 1)

    def test_misuse(self):
        self.assertEqual(self.run_as(2, program("vmci-cid"), "more", preload=False, code=2), "")


if __name__ == "__main__":
    unittest.main(verbosity=2)
