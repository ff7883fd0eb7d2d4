# SPDX-License-Identifier: Apache-2.0
"""What the tests of vmci-nc share."""
import os
import re
import signal
import socket
import subprocess
import threading

from fabric import Case, program

BLOCK = bytes(range(256)) * 256
MIB = 1 << 20


def content(count):
    """What digest_of(count) is the digest of."""
    return (BLOCK * (count // len(BLOCK) + 1))[:count]


def free_port(kind=socket.SOCK_STREAM):
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def free_port_of_both():
    """One that is free for UDP and for TCP."""
    for _ in range(100):
        port = free_port(socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                pass
    raise RuntimeError("no port is free for both")


class NcCase(Case):
    def nc(self, cid, *words, **kwargs):
        kwargs.setdefault("text", False)
        return self.start(cid, program("vmci-nc"), *words, preload=False, **kwargs)

    def relay(self, cid, *words, **kwargs):
        """Runs when this returns; what it says is in the file self.log."""
        self.log = f"{self.fabric}/log-{len(os.listdir(self.fabric))}"
        with open(self.log, "wb") as log:
            process = self.nc(cid, "-v", "-r", *words, stdin=subprocess.DEVNULL, stderr=log, **kwargs)
        self.wait_for(lambda: re.search(" (listening on|receiving at) ", self.read_log()), "relay")
        return process

    def read_log(self):
        with open(self.log, encoding="utf-8") as log:
            return log.read()

    def said(self, process, text):
        """Reads its standard error until that text comes; everything up to there."""
        seen = b""
        watchdog = threading.Timer(20, process.kill)
        watchdog.start()
        while text.encode() not in seen:
            line = process.stderr.readline()
            if not line:
                break
            seen += line
        watchdog.cancel()
        self.assertIn(text, seen.decode())
        return seen.decode()

    def stop(self, process, code=0):
        """By the signal that services are ended with."""
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=20)
        self.assertEqual(process.returncode, code, err)
