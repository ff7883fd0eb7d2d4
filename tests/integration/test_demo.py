#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""deploy/demo does what it says, ends with the right exit code, and leaves nothing behind."""
import os
import re
import signal
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

import pika

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.case import main
from harness.paths import ROOT, build_dir
from harness.workspace import wait_until

SECONDS = 240


class Demo(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp(prefix="amqp-vsock-demo-test-"))
        self.addCleanup(self.remove)

    def remove(self) -> None:
        """Ends what a failed test has left, and the folder."""
        for pid in self.left_running():
            os.kill(pid, signal.SIGKILL)
        subprocess.run(["rm", "-rf", self.folder], check=True)

    def left_running(self) -> list[int]:
        """Processes whose arguments speak of the demo's temporary folder."""
        found = []
        for entry in Path("/proc").iterdir():
            try:
                if entry.name.isdigit() and str(self.folder).encode() in (entry / "cmdline").read_bytes():
                    found.append(int(entry.name))
            except OSError:
                pass  # it has ended
        return found

    def start(self, *words: str) -> subprocess.Popen:
        """Ctrl-C ends it, even if the test itself runs in the background, where a shell has that ignored."""
        env = dict(os.environ, TMPDIR=str(self.folder), AMQPVSOCK_BUILD=str(build_dir()), AMQPVSOCK_SKIP_INSTALL="1")
        return subprocess.Popen([ROOT / "deploy" / "demo", *words], env=env, stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
                                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))

    def assert_clean(self) -> None:
        wait_until(lambda: not self.left_running(), what=lambda: f"left running: {self.left_running()}")
        wait_until(lambda: not list(self.folder.iterdir()), what="the temporary folder is gone")

    def test_account(self):
        demo = self.start()
        said, _nothing = demo.communicate(timeout=SECONDS)
        self.assertEqual(demo.returncode, 0, said)
        for claim in ("hello from guest 101", "1000 messages", "50 open at once", "1 connection leads to amqp-proxy",
                      r"CID 101 +\d+ sessions", r"CID 102 +\d+ sessions", "All of this was checked"):
            self.assertRegex(said, claim)
        self.assert_clean()

    def test_direct(self):
        demo = self.start("--direct")
        said, _nothing = demo.communicate(timeout=SECONDS)
        self.assertEqual(demo.returncode, 0, said)
        for claim in ("1000 messages", "50 open at once.*RabbitMQ sees 1 client$", "1 connection leads to RabbitMQ",
                      "All of this was checked"):
            self.assertRegex(said, re.compile(claim, re.MULTILINE))
        self.assert_clean()

    def test_interrupted(self):
        demo = self.start()
        wait_until(lambda: any("guest-proxy" in self.command(pid) for pid in self.left_running()), timeout=SECONDS)
        os.killpg(demo.pid, signal.SIGINT)  # as Ctrl-C does
        said, _nothing = demo.communicate(timeout=SECONDS)
        self.assertEqual(demo.returncode, 130, said)
        self.assert_clean()

    def command(self, pid: int) -> str:
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
        except OSError:
            return ""

    def test_keep(self):
        demo = self.start("--keep")
        said, _nothing = demo.communicate(timeout=SECONDS)
        self.assertEqual(demo.returncode, 0, said)
        port = int(re.search(r"guest 101 connects to 127.0.0.1:(\d+)", said).group(1))
        keeper = int(re.search(r"kill (\d+)", said).group(1))
        connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", port))
        connection.channel().queue_declare("mine")
        connection.close()
        os.kill(keeper, signal.SIGTERM)
        self.assert_clean()

    def test_failure(self):
        env = dict(os.environ, TMPDIR=str(self.folder), AMQPVSOCK_BUILD="/nonexistent", AMQPVSOCK_SKIP_INSTALL="1")
        done = subprocess.run([ROOT / "deploy" / "demo"], env=env, capture_output=True, text=True, timeout=SECONDS)
        self.assertEqual(done.returncode, 1)
        self.assertIn("/nonexistent/bin/guest-proxy is missing", done.stderr)
        self.assert_clean()


if __name__ == "__main__":
    main()
