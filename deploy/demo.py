# SPDX-License-Identifier: Apache-2.0
"""The demo itself; deploy/demo installs and builds what it needs, and runs it."""
import argparse
import hashlib
import os
import random
import re
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path

import pika

TESTS = Path(__file__).resolve().parents[1] / "tests"
sys.path[:0] = [str(TESTS / "lib"), str(TESTS / "fault")]
import demo_chaos
from faultlib.interposer import Interposer, LoopThread, on_link
from harness.chain import Chain, DirectChain, Endpoint, check_programs
from harness.rabbitmq import Broker
from harness.workspace import Workspace, end_on_signals, wait_until

PICTURE = """
  guest 101                      hypervisor host              broker side
 ┌────────────────────────┐     ┌──────────────┐  one TCP    ┌─────────────────────────┐
 │ clients ── guest-proxy ├─────┤              │ connection  │                         │
 └────────────────────────┘     │  host-proxy  ╞═════════════╡ amqp-proxy ── RabbitMQ  │
 ┌────────────────────────┐     │              │             │                         │
 │ clients ── guest-proxy ├─────┤              │             │                         │
 └────────────────────────┘     └──────────────┘             └─────────────────────────┘
  guest 102              vsock: here the embedded one, Unix sockets instead of a hypervisor
"""
DIRECT_PICTURE = """
  guest 101                      hypervisor host
 ┌────────────────────────┐     ┌──────────────┐  one AMQP
 │ clients ── guest-proxy ├─────┤              │ connection
 └────────────────────────┘     │  host-proxy  ╞═════════════ RabbitMQ
 ┌────────────────────────┐     │              │
 │ clients ── guest-proxy ├─────┤              │
 └────────────────────────┘     └──────────────┘
  guest 102              vsock: here the embedded one, Unix sockets instead of a hypervisor
"""
MESSAGES = 1000
SESSIONS_PER_GUEST = 25
MIB = 1 << 20


class Demo:
    """The whole installation in one temporary folder, and what is shown of it."""
    picture = PICTURE
    upstream = "amqp-proxy"  # where host-proxy's one connection leads

    def __init__(self, workspace: Workspace):
        self.workspace = workspace
        self.broker: Broker = None
        self.chain: Chain = None

    # --- what is shown

    def title(self, text: str) -> None:
        print(f"\n{text}", flush=True)

    def line(self, what: str, text: str) -> None:
        print(f"  {what:<12} {text}", flush=True)

    # --- start

    def start(self) -> None:
        check_programs()
        self.title("Starting, all on loopback ports that were free:")
        self.broker = Broker(self.workspace).start()
        self.line("RabbitMQ", f"127.0.0.1:{self.broker.node.port}, a private node")
        self.start_chain(Endpoint(self.broker.node.host, self.broker.node.port))
        self.line("host-proxy", "vsock port 5672 (embedded)")
        for cid, guest in self.chain.guests.items():
            self.line(f"guest {cid}", f"127.0.0.1:{guest.endpoint.port} and {guest.unix}")

    def start_chain(self, node: Endpoint) -> None:
        self.chain = Chain(self.workspace, [node])
        self.chain.start()
        self.line("amqp-proxy", f"127.0.0.1:{self.chain.link.port}")

    # --- stock clients

    def tool(self, guest: int, program: str, *words: str, data: bytes = b"") -> bytes:
        """Runs one of amqp-tools in a guest; returns its output."""
        host, port = self.chain.endpoint(guest)
        done = subprocess.run([program, f"--server={host}", f"--port={port}", *words], input=data,
                              capture_output=True, timeout=60)
        if done.returncode != 0:
            raise AssertionError(f"{program} in guest {guest}: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout

    def pika(self, guest: int) -> pika.BlockingConnection:
        host, port = self.chain.endpoint(guest)
        return pika.BlockingConnection(pika.ConnectionParameters(host, port, socket_timeout=20))

    # --- messages

    def from_tools_to_pika(self) -> None:
        """A text and a megabyte from amqp-publish in one guest to pika in the other."""
        self.tool(101, "amqp-declare-queue", "-q", "greetings")
        blob = secrets.token_bytes(MIB)
        self.tool(101, "amqp-publish", "-r", "greetings", "-b", "hello from guest 101")
        self.tool(101, "amqp-publish", "-r", "greetings", data=blob)
        connection = self.pika(102)
        channel = connection.channel()
        got = [channel.basic_get("greetings", auto_ack=True)[2] for _ in range(2)]
        connection.close()
        assert got[0] == b"hello from guest 101", got[0]
        assert hashlib.sha256(got[1]).digest() == hashlib.sha256(blob).digest(), "the megabyte has changed"
        self.line("101 → 102", "amqp-publish → pika: 'hello from guest 101', and 1 MiB with the same SHA-256")

    def from_pika_to_tools(self) -> None:
        """Confirmed messages from pika in one guest to amqp-consume in the other."""
        connection = self.pika(102)
        channel = connection.channel()
        channel.queue_declare("numbers")
        channel.confirm_delivery()
        began = time.monotonic()
        for number in range(MESSAGES):
            channel.basic_publish("", "numbers", b"%d\n" % number, mandatory=True)
        rate = MESSAGES / (time.monotonic() - began)
        # amqp-consume starts a program for each message: as many as do not take long.
        taken = 100
        got = self.tool(101, "amqp-consume", "-q", "numbers", "-c", str(taken), "cat")
        connection.close()
        assert got == b"".join(b"%d\n" % number for number in range(taken)), "not in order"
        rest = self.rest_of("numbers", 101)
        assert rest == [b"%d\n" % number for number in range(taken, MESSAGES)], "messages are missing"
        self.line("102 → 101", f"pika → amqp-consume and pika: {MESSAGES} messages, each confirmed before the next "
                               f"({rate:.0f}/s), all there, in order")

    def rest_of(self, queue: str, guest: int) -> list[bytes]:
        connection = self.pika(guest)
        channel = connection.channel()
        bodies = []
        for method, _properties, body in channel.consume(queue, inactivity_timeout=1):
            if method is None:
                break
            channel.basic_ack(method.delivery_tag)
            bodies.append(body)
        connection.close()
        return bodies

    # --- one connection

    def many_sessions(self) -> None:
        """Sessions of both guests, open at the same time, seen from the broker and from the kernel."""
        opened = [self.pika(guest) for _ in range(SESSIONS_PER_GUEST) for guest in self.chain.guests]
        expected = self.clients_at_broker(len(opened))
        wait_until(lambda: len(self.broker.node.connections()) == expected, what=f"the broker sees {expected}")
        connections = self.upstream_connections()
        assert len(connections) == 1, f"{len(connections)} connections lead to {self.upstream}: {connections}"
        assert f"pid={self.chain.host.pid}," in connections[0], f"not host-proxy's: {connections[0]}"
        self.line("sessions", f"{len(opened)} open at once, {SESSIONS_PER_GUEST} in each guest; "
                              f"RabbitMQ sees {expected} client{'s' if expected > 1 else ''}")
        self.line("TCP", f"1 connection leads to {self.upstream}. ss -tnp dst 127.0.0.1:{self.upstream_port()} says:")
        self.line("", re.sub(r"\s+", "  ", connections[0]))
        for connection in opened:
            connection.close()

    def clients_at_broker(self, sessions: int) -> int:
        return sessions

    def upstream_port(self) -> int:
        return self.chain.link.port

    def upstream_connections(self) -> list[str]:
        """What ss says of established connections to where host-proxy's leads."""
        said = subprocess.run(["ss", "-Htnp", "state", "established", "dst", f"127.0.0.1:{self.upstream_port()}"],
                              capture_output=True, text=True, check=True, timeout=20)
        return said.stdout.splitlines()

    def who_connected(self) -> None:
        """The guests by CID, from host-proxy's own log."""
        log = self.chain.host.text()
        sessions = {cid: len(re.findall(rf"guest={cid}\b.*session open", log)) for cid in self.chain.guests}
        for cid, count in sessions.items():
            assert count > SESSIONS_PER_GUEST, f"host-proxy's log has {count} sessions of guest {cid}"
            example = re.search(rf"^.*guest={cid}\b.*session open.*$", log, re.MULTILINE).group(0)
            self.line(f"CID {cid}", f"{count} sessions, the first:")
            self.line("", example)

    # --- the account

    def run(self) -> None:
        began = time.monotonic()
        print(self.picture)
        self.start()
        self.show()
        print(f"\nAll of this was checked. It took {time.monotonic() - began:.0f} s.", flush=True)

    def show(self) -> None:
        self.title("Messages, by stock clients:")
        self.from_tools_to_pika()
        self.from_pika_to_tools()
        self.title("One connection for all:")
        self.many_sessions()
        self.title("Who connected, from host-proxy's log:")
        self.who_connected()

    def explain_use(self, keeper: int) -> None:
        guest, node = self.chain.guests[101].endpoint, self.broker.node
        print(f"""
It goes on running. A client in guest 101 connects to 127.0.0.1:{guest.port} as guest/guest, one in guest 102
to 127.0.0.1:{self.chain.guests[102].endpoint.port}:

  amqp-declare-queue --port={guest.port} -q mine
  amqp-publish --port={guest.port} -r mine -b 'a message'
  amqp-get --port={self.chain.guests[102].endpoint.port} -q mine

Logs are in {self.workspace.path}/logs. The broker, as its operator sees it:

  HOME={node.base} ERL_EPMD_PORT={node.epmd_port} /usr/lib/rabbitmq/bin/rabbitmqctl -n {node.name} list_queues

To end it and remove all it made:  kill {keeper}
""", flush=True)


class DirectDemo(Demo):
    """Direct mode: the clients share host-proxy's AMQP connection."""
    picture = DIRECT_PICTURE
    upstream = "RabbitMQ"

    def start_chain(self, node: Endpoint) -> None:
        self.chain = DirectChain(self.workspace, [node])
        self.chain.start()

    def clients_at_broker(self, sessions: int) -> int:
        return 1

    def upstream_port(self) -> int:
        return self.broker.node.port


class ChaosDemo(Demo):
    """Messages flow while host-proxy is killed and the link cut."""

    def start_chain(self, node: Endpoint) -> None:
        self.chain = Chain(self.workspace, [node])
        self.link: Interposer  # stands in the link, to cut it
        self.link, upstream = on_link(LoopThread(), self.chain.link, random.Random())
        self.chain.upstream = Endpoint(*upstream)
        self.chain.start()
        self.line("amqp-proxy", f"127.0.0.1:{self.chain.link.port}")

    def show(self) -> None:
        demo_chaos.run(self, self.link)


def run(kind: type[Demo], keep: bool, finished=lambda: None) -> None:
    """Runs the demo; with `keep`, calls `finished` when it was shown, and stays until a signal comes."""
    with Workspace("amqp-vsock-demo-") as workspace:
        demo = kind(workspace)
        try:
            demo.run()
        except Exception:
            workspace.show_logs()
            raise
        if keep:
            demo.explain_use(os.getpid())
            finished()
            signal.pause()


def run_in_background(kind: type[Demo]) -> int:
    """Runs the demo in a child that outlives us; returns when it has been shown, with its exit code."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        os.setsid()
        end_on_signals()
        try:
            run(kind, True, finished=lambda: let_go(writer))
        except SystemExit:
            os._exit(0)
        except BaseException as error:
            print(f"\nThe demo failed: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)

    os.close(writer)
    try:
        if os.read(reader, 1):
            return 0
    except BaseException:  # Ctrl-C or SIGTERM, which reach only us
        os.kill(child, signal.SIGTERM)
        os.waitpid(child, 0)
        raise
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) or 1


def let_go(writer: int) -> None:
    """In the child: tells the parent to leave, and lets go of the terminal."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    os.write(writer, b"!")
    os.close(writer)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--keep", action="store_true")
    kinds = parser.add_mutually_exclusive_group()
    kinds.add_argument("--chaos", dest="kind", action="store_const", const=ChaosDemo)
    kinds.add_argument("--direct", dest="kind", action="store_const", const=DirectDemo)
    parser.set_defaults(kind=Demo)
    arguments = parser.parse_args()
    end_on_signals()
    try:
        if arguments.keep:
            return run_in_background(arguments.kind)
        run(arguments.kind, False)
        return 0
    except KeyboardInterrupt:
        print("\ninterrupted; everything was ended", file=sys.stderr)
        return 130
    except Exception as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
