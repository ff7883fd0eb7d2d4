#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The preload library and vmci-run: descriptors handed on, the kernel's AF_VSOCK out of reach, what can't work."""
import os
import shutil
import stat
import subprocess
import unittest

from fabric import Case, LIBRARY, PYTHON, RUN, program

CALLS = program("plain-calls")


class Descriptors(Case):
    def test_dup_fork_and_scm_rights(self):
        self.run_as(2, CALLS, "handover")

    def test_copies(self):
        self.run_as(2, CALLS, "copies")

    def test_every_way_to_wait(self):
        self.run_as(2, CALLS, "waiting")

    def test_every_way_to_send_and_receive(self):
        """Also as _FORTIFY_SOURCE has it."""
        self.run_as(2, CALLS, "datagrams")

    def test_exec(self):
        """Names and options go along."""
        self.assertRegex(self.run_as(2, CALLS, "exec"), r"\A2 to 2:\d+ with 32768 bytes\n\Z")

    def test_socket_as_standard_input(self):
        """As inetd does: the program that is started has nothing but its standard descriptors."""
        self.start(2, "socat", "VSOCK-LISTEN:5000,fork", f"EXEC:{PYTHON} -c {self.quote(WHO)},nofork")
        self.listening(2, 5000)
        self.assertRegex(self.run_as(101, "socat", "-t20", "-", "VSOCK-CONNECT:2:5000"), r"\A40 \(101, \d+\)\n\Z")

    def quote(self, script):
        path = os.path.join(self.fabric, "who.py")
        with open(path, "w", encoding="utf-8") as file:
            file.write(script)
        return f"exec(open('{path}').read())".join(('"', '"')).replace("'", "\\'").replace('"', '\\"')


WHO = """
import socket
with socket.socket(fileno=0) as s:
    s.sendall(f"{int(s.family)} {s.getpeername()}\\n".encode())
"""


# A server and 20 clients at once in one loop of asyncio, whose transports know nothing of vsock.
ASYNCIO = """
import asyncio, socket

async def serve(reader, writer):
    peer = writer.get_extra_info('socket').getpeername()
    writer.write(str(peer[0]).encode() + b' ' + await reader.read())
    await writer.drain()
    writer.close()

async def ask(word):
    sock = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    sock.setblocking(False)
    await asyncio.get_running_loop().sock_connect(sock, (2, 5000))
    reader, writer = await asyncio.open_connection(sock=sock)
    writer.write(word)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer

async def main():
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listener.bind((socket.VMADDR_CID_ANY, 5000))
    server = await asyncio.start_server(serve, sock=listener)
    words = [b'%d' % i * 10000 for i in range(20)]
    answers = await asyncio.gather(*(ask(word) for word in words))
    server.close()
    print(all(answer == b'2 ' + word for word, answer in zip(words, answers)))

asyncio.run(main())
"""


class Programs(Case):
    def test_asyncio(self):
        self.assertEqual(self.run_as(2, PYTHON, "-c", ASYNCIO), "True\n")


class Kernel(Case):
    """Its AF_VSOCK is out of reach."""

    def test_the_device_is_a_stand_in(self):
        self.assertEqual(self.run_as(101, CALLS, "cid"), "101\n")

    def test_by_other_ways_it_is_shut(self):
        """What gets by the library, here as it has been taken out, finds no such family."""
        script = "import socket; socket.socket(socket.AF_VSOCK)"
        run = self.start(101, "env", "-u", "LD_PRELOAD", PYTHON, "-c", script)
        _, err = run.communicate(timeout=20)
        self.assertIn("Address family not supported", err)

    def test_preloaded_without_run(self):
        """LD_PRELOAD alone is enough for programs that call libc. (The test itself runs where the kernel's is shut.)"""
        script = "import socket; s = socket.socket(socket.AF_VSOCK); s.bind((-1 & 0xffffffff, 5000)); " \
                 "print(s.getsockname())"
        env = dict(VMCI_CID="101", VMCI_FABRIC=self.fabric, LD_PRELOAD=LIBRARY, PATH=os.environ["PATH"])
        words = [f"{name}={value}" for name, value in env.items()]
        self.assertEqual(self.run_as(2, "env", "-i", *words, PYTHON, "-c", script), "(101, 5000)\n")

    def test_only_who_asks_gets_the_kernels(self):
        """VMCI_TRANSPORT=kernel in the command's own environment: then it is the kernel that says no."""
        script = "import socket; socket.socket(socket.AF_VSOCK)"
        run = self.start(101, "env", "VMCI_TRANSPORT=kernel", PYTHON, "-c", script)
        _, err = run.communicate(timeout=20)
        self.assertIn("Address family not supported", err)

    def test_other_families_are_not_touched(self):
        script = "import socket; a, b = socket.socketpair(); a.sendall(b'x'); print(b.recv(9)); " \
                 "s = socket.create_server(('127.0.0.1', 0)); c = socket.create_connection(s.getsockname()); " \
                 "print(s.accept()[1] == c.getsockname())"
        self.assertEqual(self.run_as(101, PYTHON, "-c", script), "b'x'\nTrue\n")


class Run(Case):
    def refusal(self, *command, code):
        run = subprocess.run([RUN, *command], capture_output=True, text=True, timeout=20, check=False, env=self.env)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stderr

    def test_says_what_cannot_work(self):
        copy = shutil.copy("/bin/true", os.path.join(self.fabric, "setuid"))
        os.chmod(copy, 0o755 | stat.S_ISUID)
        script = os.path.join(self.fabric, "script")
        with open(script, "w", encoding="utf-8") as file:
            file.write(f"#!{program('static-nothing')} -x\n")
        os.chmod(script, 0o755)
        self.assertIn("statically linked", self.refusal("-c", "101", program("static-nothing"), code=126))
        self.assertIn("statically linked", self.refusal("-c", "101", script, code=126))
        self.assertIn("setuid", self.refusal("-c", "101", copy, code=126))

    def test_usage(self):
        self.assertIn("who is the command to be?", self.refusal("true", code=2))
        self.assertIn("usage:", self.refusal("-c", "101", code=2))
        self.assertIn("not found", self.refusal("-c", "101", "no-such-command", code=127))

    def test_exit_code_and_arguments_are_the_commands(self):
        run = subprocess.run([RUN, "-c", "101", "-f", self.fabric, "--", "sh", "-c", 'echo "$VMCI_CID $1"; exit 7', "x",
                              "a b"], capture_output=True, text=True, timeout=20, check=False, env=self.env)
        self.assertEqual((run.returncode, run.stdout), (7, "101 a b\n"))

    def test_what_was_preloaded_stays(self):
        self.env["LD_PRELOAD"] = "libc.so.6"
        out = self.run_as(101, "sh", "-c", 'echo "$LD_PRELOAD"')
        self.assertRegex(out, r"libvmci-preload.so:libc.so.6\n\Z")

    def test_failures_are_explained_on_request(self):
        client = self.start(101, "socat", "-", "VSOCK-CONNECT:2:5000")
        _, err = client.communicate("", timeout=20)
        self.assertIn("vmci: connect: embedded:2:5000: nobody listens there", err)


if __name__ == "__main__":
    unittest.main(verbosity=2)
