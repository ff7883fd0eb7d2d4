# SPDX-License-Identifier: Apache-2.0
"""A fabric in a temporary folder, and programs that run on it. The kernel's AF_VSOCK is shut for all of them."""
import os
import shutil
import subprocess
import tempfile
import time
import unittest

BUILD = os.environ.get("AMQPVSOCK_BUILD") or os.path.join(os.path.dirname(__file__), "../../build/dev")
BIN = os.path.join(os.path.abspath(BUILD), "bin")
RUN = os.path.join(BIN, "vmci-run")
LIBRARY = os.path.join(os.path.abspath(BUILD), "lib", "libvmci-preload.so")
PYTHON = "/usr/bin/python3"
VSOCK = os.path.join(os.path.dirname(os.path.abspath(__file__)), "vsock.py")
DEADLINE_S = 20
ACCEPTING = "00010000"


def program(name):
    return os.path.join(BIN, name)


class Case(unittest.TestCase):
    """self.fabric is new for each test; what runs is ended after it."""
    vmci_run = RUN

    def setUp(self):
        self.fabric = tempfile.mkdtemp(prefix="vmci-", dir="/tmp")
        os.chmod(self.fabric, 0o755)
        self.addCleanup(shutil.rmtree, self.fabric)
        self.env = {k: v for k, v in os.environ.items() if not k.startswith(("VMCI_", "LD_"))}

    def start(self, cid, *command, preload=True, user=None, **kwargs):
        """Starts a command as that machine: through vmci-run, or (linked with libvmci) by the environment alone."""
        command = [str(word) for word in command]
        env = dict(self.env, VMCI_CID=str(cid), VMCI_FABRIC=self.fabric, VMCI_TRANSPORT="embedded", VMCI_DEBUG="1")
        if preload:
            command = [self.vmci_run, "--", *command]
        for stream in ("stdin", "stdout", "stderr"):
            kwargs.setdefault(stream, subprocess.PIPE)
        kwargs.setdefault("text", True)
        if user is not None:
            kwargs.update(user=user, group=user, extra_groups=[])
        process = subprocess.Popen(command, env=env, **kwargs)
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    def finish(self, process, input=None, code=0):
        """Waits for its end; its standard output."""
        out, err = process.communicate(input, timeout=DEADLINE_S)
        self.assertEqual(process.returncode, code, err)
        return out

    def run_as(self, cid, *command, input=None, code=0, **kwargs):
        return self.finish(self.start(cid, *command, **kwargs), input, code)

    def wait_for(self, condition, what):
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, f"no {what} within {DEADLINE_S} s")
            time.sleep(0.01)

    def listening(self, cid, port, kind="stream"):
        """Waits until somebody has that port of the fabric; for streams, until he listens."""
        path = f"{self.fabric}/{cid}/{port}.{kind}"
        self.wait_for(lambda: self.has_socket(path, kind), f"{cid}:{port}")

    @staticmethod
    def has_socket(path, kind):
        """The kernel's table of Unix sockets: a listener has the flag __SO_ACCEPTCON."""
        with open("/proc/net/unix", encoding="utf-8") as table:
            rows = [line.split() for line in table]
        return any(row[-1] == path and (kind != "stream" or row[3] == ACCEPTING) for row in rows)

    def names(self, cid):
        folder = f"{self.fabric}/{cid}"
        return sorted(os.listdir(folder)) if os.path.isdir(folder) else []
