#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The whole chain over a real kernel's AF_VSOCK, and sessions that outlive their streams there."""
import hashlib
import sys
from pathlib import Path

import pika

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient
from harness.net import established_to
from vmlib import VmTest, main
from vmlib.chain import AMQP_PORT

SIZES = (0, 1, 4000, 65536, 1 << 20, 5_000_000)
RELAY_PORT = AMQP_PORT + 1
NOBODY_PORT = AMQP_PORT + 2


def body_of(size: int) -> bytes:
    return hashlib.shake_128(b"%d" % size).digest(size)


class TheChain(VmTest):
    """vm.chain: guest-proxy ─ vsock ─ host-proxy in the machine, amqp-proxy and RabbitMQ outside"""
    tools = ("socat", "amqp-publish", "amqp-get")
    guest_args = ("--ping-interval", "1s", "--ping-timeout", "3s")

    def broker_channel(self):
        """A channel straight to the broker."""
        parameters = pika.ConnectionParameters(host=self.node.host, port=self.node.port, virtual_host=self.vhost)
        connection = pika.BlockingConnection(parameters)
        self.addCleanup(connection.close)
        return connection.channel()

    def carry(self, source, target, size: int) -> None:
        """One message, published on one channel and fetched on the other."""
        queue = f"{self._testMethodName}-{size}"
        target.queue_declare(queue)
        source.confirm_delivery()
        source.basic_publish("", queue, body_of(size), mandatory=True)
        got = target.basic_get(queue, auto_ack=True)[2]
        self.assertEqual(hashlib.sha256(got).hexdigest(), hashlib.sha256(body_of(size)).hexdigest())

    def test_1_up(self) -> None:
        """messages from a client through the machine to the broker"""
        source, target = self.channel(), self.broker_channel()
        for size in SIZES:
            self.carry(source, target, size)
        self.note(f"bodies of {', '.join(map(str, SIZES))} bytes, digests compared")

    def test_2_down(self) -> None:
        """messages from the broker through the machine to a client"""
        source, target = self.broker_channel(), self.channel()
        for size in SIZES:
            self.carry(source, target, size)

    def test_3_stock_tools_inside(self) -> None:
        """amqp-publish and amqp-get in the machine itself"""
        channel = self.broker_channel()
        channel.queue_declare("tools")
        url = f"amqp://127.0.0.1:{AMQP_PORT}/{self.vhost}"
        self.machine.run(f"amqp-publish --url {url} --routing-key tools --body 'from inside'")
        self.assertEqual(channel.basic_get("tools", auto_ack=True)[2], b"from inside")
        channel.basic_publish("", "tools", b"from outside")
        self.assertEqual(self.machine.run(f"amqp-get --url {url} --queue tools").strip(), "from outside")

    def test_4_who_is_who(self) -> None:
        """every session on one TCP connection, known by its CID"""
        connections = [self.connect() for _ in range(20)]
        self.assertEqual(established_to(self.chain.link.port), 1, "connections between host-proxy and amqp-proxy")
        seen = self.machine.wait_log("host-proxy", "guest=1 session=.* session opens")
        self.note(seen)
        self.chain.amqp.wait_log(r"guest=1 session=\w+ session opens")
        for connection in connections:
            connection.close()

    # --- sessions outlive their streams

    def test_5_host_proxy_killed(self) -> None:
        """host-proxy killed and started again, three times under traffic: the client notices nothing"""
        before = self.resumes()
        self.start_steady()
        for _ in range(3):
            self.replace_host_proxy()
            self.wait_progress()
        self.stop_steady()
        self.assertGreaterEqual(self.resumes() - before, 3)

    def relay(self) -> None:
        """A guest-proxy whose streams pass through a process that can be killed or stopped."""
        self.machine.start("relay", ["socat", f"VSOCK-LISTEN:{RELAY_PORT},fork", f"VSOCK-CONNECT:1:{AMQP_PORT}"],
                           ready=None)
        self.chain.start_guest_proxy("relayed", RELAY_PORT, RELAY_PORT)
        self.addCleanup(self._end_relay)

    def _end_relay(self) -> None:
        self.relayed("KILL")
        for name, signal, status in (("relayed", "TERM", 0), ("relay", "KILL", 128 + 9)):
            self.machine.signal(name, signal)
            self.assertEqual(self.machine.wait_end(name), status, name)

    def relayed(self, signal: str) -> None:
        """A signal to the relay's children, one for each stream."""
        parent = self.machine.run("cat /run/start/relay/pid").strip()
        self.machine.run(f"ps -o pid,ppid | awk '$2 == {parent} {{ print $1 }}' | xargs -r kill -{signal}")

    def test_6_stream_reset(self) -> None:
        """the guest stream reset at both ends, the link untouched"""
        before = self.resumes()
        self.relay()
        self.start_steady(RELAY_PORT)
        for _ in range(3):
            self.relayed("KILL")
            self.wait_progress()
        self.stop_steady()
        self.assertGreaterEqual(self.resumes() - before, 3)

    def test_7_stream_silent(self) -> None:
        """the guest stream silently dead: found out by heartbeats"""
        before = self.resumes()
        self.relay()
        self.start_steady(RELAY_PORT)
        mark = self.machine.process.mark()
        self.relayed("STOP")
        self.note(self.machine.wait_log("relayed", "session detached", mark=mark))
        self.wait_progress()
        self.stop_steady()
        self.assertGreaterEqual(self.resumes() - before, 1)

    def test_8_nobody_at_the_host(self) -> None:
        """no host-proxy: the client is told the kernel's reason"""
        self.chain.start_guest_proxy("lonely", NOBODY_PORT, 9, ["--connect-timeout", "1s"])
        with RawClient(self.chain.endpoint(port=NOBODY_PORT), timeout=30) as client:
            client.start()
            client.start_ok()
            code, text = client.read_close()
        self.assertEqual(code, 320)
        self.assertRegex(text, "host proxy unreachable: .*nobody listens there")
        self.note(f"{code} {text}")
        self.machine.signal("lonely", "TERM")
        self.assertEqual(self.machine.wait_end("lonely"), 0)


if __name__ == "__main__":
    main()
