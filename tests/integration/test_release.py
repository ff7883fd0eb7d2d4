#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A client that dies frees its broker connection, stream, descriptors and memory at all three daemons at once."""
import os
import signal
import socket
import struct
import subprocess
import sys
import time
from pathlib import Path

import pika.exceptions

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
from harness.amqp_raw import RawClient, method
from harness.bystander import Bystander
from harness.case import IntegrationTest, main
from harness.workspace import wait_until

SESSIONS = 60
MIB = 1 << 20

# Run in a process of its own: connects SESSIONS times, consumes, publishes without end, says "up", until it is killed.
DOOMED = f"""
import sys, pika
host, port, vhost = sys.argv[1], int(sys.argv[2]), sys.argv[3]
connections = []
for n in range({SESSIONS}):
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, port, vhost, heartbeat=0))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.basic_consume(queue, lambda *_: None, auto_ack=True)
    connections.append((connection, channel, queue))
print("up", flush=True)
while True:
    for connection, channel, queue in connections:
        channel.basic_publish("", queue, b"x" * 300000)
"""


class Release(IntegrationTest):
    through_proxies = True
    amqp_args = host_args = guest_args = ("--handshake-timeout", "300s")  # nothing may be left to it

    def descriptors(self) -> dict:
        return {process.name: process.descriptors() for process in self.chain.processes()}

    def settled(self, at_rest: dict) -> None:
        """Waits until the broker has no connections and the daemons no more descriptors than at rest."""
        wait_until(lambda: self.descriptors() == at_rest, what=lambda: f"{self.descriptors()} instead of {at_rest}")
        wait_until(lambda: not self.broker_connections(), what="the broker's connections end")

    def at_rest(self) -> dict:
        """The descriptors after a first session, which has started what starts on demand."""
        self.connect(101).close()
        self.connect(102).close()
        wait_until(lambda: not self.broker_connections())
        time.sleep(0.5)
        return self.descriptors()

    def doom(self, guest: int, lifetime: float) -> None:
        """Starts the doomed client, lets it work for so long, and kills it."""
        host, port = self.chain.endpoint(guest)
        child = subprocess.Popen(["/usr/bin/python3", "-c", DOOMED, host, str(port), self.vhost],
                                 stdout=subprocess.PIPE)
        try:
            self.assertEqual(child.stdout.readline(), b"up\n")
            time.sleep(lifetime)
        finally:
            os.kill(child.pid, signal.SIGKILL)
            child.wait()
            child.stdout.close()

    def test_killed_while_busy(self):
        at_rest = self.at_rest()
        memory = []
        for _ in range(7):
            self.doom(101, lifetime=1)
            self.settled(at_rest)
            memory.append({process.name: process.rss_bytes() for process in self.chain.processes()})
        # How much a process keeps of what it had at its peak varies, and the peak too, up to the first that all
        # sessions have at once: what leaks never comes back.
        for name in memory[0]:
            sizes = [taken[name] for taken in memory]
            self.assertLess(min(sizes[5:]), max(sizes[:3]) + 16 * MIB, f"{name} grows: {memory}")

    def test_bystander_is_not_disturbed(self):
        with Bystander(self.parameters(102)):
            self.doom(101, lifetime=0.5)

    def test_killed_while_idle(self):
        """A reset instead of an orderly end, with nothing going on."""
        at_rest = self.at_rest()
        clients = [RawClient(self.chain.endpoint()) for _ in range(20)]
        for client in clients:
            client.open(self.vhost)
        for client in clients:
            client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.sock.close()
        self.settled(at_rest)

    def test_killed_in_the_middle_of_a_frame(self):
        at_rest = self.at_rest()
        with RawClient(self.chain.endpoint()) as client:
            client.open(self.vhost)
            client.send(method((20, 10), b"\0", channel=1))
            client.expect((20, 11))
            client.send(method((60, 40), b"\0\0\0\0\0", channel=1)[:9])
        self.settled(at_rest)

    def test_refused_by_the_broker(self):
        """A client that was told no and left is forgotten at once."""
        at_rest = self.at_rest()
        with self.assertRaises(pika.exceptions.ProbableAuthenticationError):
            self.connect(password="wrong")
        self.settled(at_rest)

    def test_closed_by_the_operator(self):
        at_rest = self.at_rest()
        connection = self.connect()
        self.node.close_connections(self.vhost, "enough")
        with self.assertRaises(pika.exceptions.ConnectionClosedByBroker):
            connection.process_data_events(10)
        self.settled(at_rest)

    def test_orderly_end_is_no_warning(self):
        """RabbitMQ resets the TCP connection after every Close-Ok: that is not worth an operator's attention."""
        marks = [(process, process.mark()) for process in self.chain.processes()]
        for guest in (101, 102):
            self.connect(guest).close()
        wait_until(lambda: not self.broker_connections())
        time.sleep(0.3)
        for process, mark in marks:
            self.assertNotRegex(process.since(mark), " (warning|error) ")

    def test_leaves_during_the_handshake(self):
        at_rest = self.at_rest()
        for said in (b"", b"AMQP", b"AMQP\x00\x00\x09\x01"):
            with RawClient(self.chain.endpoint()) as client:
                client.send(said)
                time.sleep(0.1)
        self.settled(at_rest)


if __name__ == "__main__":
    main()
