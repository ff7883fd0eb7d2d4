#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Stock client libraries in seven languages do their work unchanged; see clients/README.md."""
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.case import IntegrationTest, main
from harness.paths import build_dir

CLIENTS = Path(__file__).resolve().parent / "clients"
COUNT = 60
JAVA_PATH = "/usr/share/java/amqp-client.jar:/usr/share/java/slf4j-api.jar:/usr/share/java/slf4j-nop.jar"


def bodies() -> bytes:
    return b"".join(b"message %d " % i + b"x" * (97 * i % 3000) for i in range(COUNT))


EXPECTED = f"ok {COUNT} {hashlib.sha256(bodies()).hexdigest()}\n".encode()


class StockClients(IntegrationTest):
    seconds = 600  # the first build with Go compiles its library

    def run_client(self, *argv, env=None, guest: int = 101) -> bytes:
        """Runs a client program against the chain; returns what it printed."""
        host, port = self.chain.endpoint(guest)
        done = subprocess.run([*argv, host, str(port), self.vhost, str(COUNT)], env=dict(os.environ, **(env or {})),
                              stdin=subprocess.DEVNULL, capture_output=True)
        self.assertEqual(done.returncode, 0, done.stderr.decode(errors="replace"))
        return done.stdout

    def test_python_pika(self):
        self.assertEqual(self.run_client("/usr/bin/python3", CLIENTS / "pika_client.py"), EXPECTED)

    def test_c_rabbitmq_c(self):
        program = os.environ.get("AMQPVSOCK_C_CLIENT", build_dir() / "bin" / "rabbitmq-c-client")
        self.assertEqual(self.run_client(program), b"ok %d bodies\n" % COUNT + bodies())

    def test_ruby_bunny(self):
        self.assertEqual(self.run_client("/usr/bin/ruby", CLIENTS / "bunny.rb", guest=102), EXPECTED)

    def test_php_amqplib(self):
        self.assertEqual(self.run_client("/usr/bin/php", CLIENTS / "php_amqplib.php"), EXPECTED)

    def test_perl_anyevent(self):
        self.assertEqual(self.run_client("/usr/bin/perl", CLIENTS / "anyevent.pl", guest=102), EXPECTED)

    def test_java(self):
        self.assertEqual(self.run_client("java", "-cp", JAVA_PATH, CLIENTS / "JavaClient.java"), EXPECTED)

    def test_go(self):
        go = shutil.which("go", path="/usr/bin:" + os.environ["PATH"])
        env = {"GO111MODULE": "off", "GOPATH": "/usr/share/gocode", "GOFLAGS": "",
               "GOCACHE": str(build_dir() / "go-cache"), "CGO_ENABLED": "0"}
        program = self.workspace.path / "go-client"
        subprocess.run([go, "build", "-o", program, CLIENTS / "go_client.go"], env=dict(os.environ, **env),
                       check=True)
        self.assertEqual(self.run_client(program, guest=102), EXPECTED)


if __name__ == "__main__":
    main()
