# SPDX-License-Identifier: Apache-2.0
"""deploy/demo --chaos: messages flow while host-proxy is killed and the link is cut, and none of it shows."""
import sys
import threading
import time

import pika

SECONDS = 24
FIRST_BREAK_S, BETWEEN_S = 2.5, 2.5
HOST_AWAY_S = 0.7  # between the kill and the next start
PAUSE_S = 0.002  # between two messages of a publisher
PAIRS = [(101, 102), (102, 101), (101, 101), (102, 102)]  # from which guest to which


class Pair:
    """Numbered messages from a publisher with confirms in one guest to a consumer with acks in another."""

    def __init__(self, demo, number: int, source: int, sink: int):
        self.demo, self.source, self.sink = demo, source, sink
        self.queue = f"chaos-{number}"
        self.confirmed = 0  # messages 0 … confirmed - 1 were confirmed
        self.seen: dict[int, int] = {}  # number: times consumed
        self.longest = 0.0  # seconds between two confirms
        self.troubles: list[str] = []  # disconnects and other errors that a client saw
        self.stop = threading.Event()
        self.enough = threading.Event()
        self.threads = [threading.Thread(target=self._guarded, args=(work,), daemon=True)
                        for work in (self._publish, self._consume)]
        for thread in self.threads:
            thread.start()

    def _guarded(self, work) -> None:
        try:
            work()
        except Exception as error:  # whatever a client sees here, it should not have seen
            self.troubles.append(f"{work.__name__.strip('_')}: {error!r}")

    def _publish(self) -> None:
        connection = self.demo.pika(self.source)
        channel = connection.channel()
        channel.queue_declare(self.queue)
        channel.confirm_delivery()
        before = time.monotonic()
        while not self.stop.is_set():
            channel.basic_publish("", self.queue, b"%d" % self.confirmed, mandatory=True)
            self.confirmed += 1
            now = time.monotonic()
            self.longest = max(self.longest, now - before)
            before = now
            time.sleep(PAUSE_S)
        connection.close()

    def _consume(self) -> None:
        connection = self.demo.pika(self.sink)
        channel = connection.channel()
        channel.queue_declare(self.queue)
        for method, _properties, body in channel.consume(self.queue, inactivity_timeout=0.5):
            if method is not None:
                self.seen[int(body)] = self.seen.get(int(body), 0) + 1
                channel.basic_ack(method.delivery_tag)
            elif self.enough.is_set():
                break
        connection.close()

    def lost(self) -> int:
        return sum(1 for number in range(self.confirmed) if number not in self.seen)

    def duplicated(self) -> int:
        return sum(times - 1 for times in self.seen.values())

    def end(self) -> None:
        self.stop.set()
        self.threads[0].join(30)
        self.enough.set()
        self.threads[1].join(30)


class Breaks:
    """What is done to the chain, in turn."""

    def __init__(self, demo, link):
        self.demo, self.link = demo, link
        self.done = {"host-proxy killed": 0, "link cut": 0}

    def kill_host(self) -> str:
        self.demo.chain.host.kill()
        time.sleep(HOST_AWAY_S)
        self.demo.chain.start_host()
        self.done["host-proxy killed"] += 1
        return "host-proxy killed (SIGKILL) and started again"

    def cut_link(self) -> str:
        self.link.cut("reset")
        self.done["link cut"] += 1
        return "link between host-proxy and amqp-proxy reset"

    def next(self) -> str:
        return self.cut_link() if sum(self.done.values()) % 2 else self.kill_host()


def count(pairs: list[Pair]) -> str:
    return (f"{sum(pair.confirmed for pair in pairs):7} confirmed  {sum(len(pair.seen) for pair in pairs):7} consumed  "
            f"{sum(len(pair.troubles) for pair in pairs)} errors seen by clients")


def live(began: float, pairs: list[Pair], event: str = "") -> None:
    """One line: overwritten on a terminal, kept when something happened or nobody watches."""
    line = f"  {time.monotonic() - began:5.1f} s  {count(pairs)}"
    if event:
        print(f"\r{line}  {event}", flush=True)
    elif sys.stdout.isatty():
        print(f"\r{line}", end="", flush=True)


def run(demo, link) -> None:
    """Shows it; raises AssertionError when a message was lost or duplicated, or a client saw anything."""
    demo.title(f"Chaos: {len(PAIRS)} publishers with confirms, {len(PAIRS)} consumers with acks, for {SECONDS} s")
    pairs = [Pair(demo, number, *guests) for number, guests in enumerate(PAIRS)]
    breaks = Breaks(demo, link)
    began = time.monotonic()
    due = began + FIRST_BREAK_S
    while time.monotonic() < began + SECONDS:
        if time.monotonic() >= due:
            live(began, pairs, breaks.next())
            due = time.monotonic() + BETWEEN_S
        live(began, pairs)
        time.sleep(0.1)
    for pair in pairs:
        pair.end()
    live(began, pairs, "done")
    account(demo, pairs, breaks)


def account(demo, pairs: list[Pair], breaks: Breaks) -> None:
    lost, duplicated = sum(pair.lost() for pair in pairs), sum(pair.duplicated() for pair in pairs)
    troubles = [trouble for pair in pairs for trouble in pair.troubles]
    demo.title("The account:")
    demo.line("breaks", ", ".join(f"{what} {times} times" for what, times in breaks.done.items()))
    demo.line("messages", f"{sum(pair.confirmed for pair in pairs)} confirmed")
    demo.line("lost", str(lost))
    demo.line("duplicated", str(duplicated))
    demo.line("disconnects", f"{len(troubles)} seen by clients")
    demo.line("longest", f"{max(pair.longest for pair in pairs):.1f} s from one confirm to the next: the pause that was noticed")
    assert not troubles, f"clients saw: {troubles}"
    assert lost == 0 and duplicated == 0, f"{lost} messages lost, {duplicated} duplicated"
    assert all(breaks.done.values()) and all(pair.confirmed > 0 for pair in pairs), "nothing was shown"
