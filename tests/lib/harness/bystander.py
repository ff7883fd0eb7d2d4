# SPDX-License-Identifier: Apache-2.0
"""A well-behaved client beside the misbehaving one: nothing may disturb it."""
import threading
import time

import pika


class Bystander:
    """Publishes small messages with confirms and gets each back, over and over, in a thread of its own.

    Leaving it (`with`) raises what went wrong. `slowest` is the longest round trip in seconds, `rounds` their number,
    `mean` their mean.
    """

    def __init__(self, parameters: pika.ConnectionParameters, pause: float = 0.01):
        self.parameters, self.pause = parameters, pause
        self.rounds, self.slowest, self.total, self.error = 0, 0.0, 0.0, None
        self._started, self._stop = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def mean(self) -> float:
        return self.total / self.rounds

    def __enter__(self) -> "Bystander":
        self._thread.start()
        self._started.wait(30)
        return self

    def __exit__(self, kind, *_exc) -> None:
        self._stop.set()
        self._thread.join(30)
        if kind is None:
            assert not self._thread.is_alive(), "the bystander hangs"
            if self.error:
                raise AssertionError(f"the bystander was disturbed: {self.error!r}") from self.error
            assert self.rounds > 0, "the bystander got nothing done"

    def _run(self) -> None:
        try:
            connection = pika.BlockingConnection(self.parameters)
            channel = connection.channel()
            channel.confirm_delivery()
            queue = channel.queue_declare("", exclusive=True).method.queue
            while not self._stop.is_set():
                self._round(channel, queue)
                self._started.set()
                time.sleep(self.pause)
            connection.close()
        except Exception as error:  # whatever it is, the test must hear of it
            self.error = error
        finally:
            self._started.set()

    def _round(self, channel, queue: str) -> None:
        body = b"round %d" % self.rounds
        began = time.monotonic()
        channel.basic_publish("", queue, body, mandatory=True)
        got = channel.basic_get(queue, auto_ack=True)[2]
        assert got == body, f"sent {body!r}, got {got!r}"
        took = time.monotonic() - began
        self.slowest = max(self.slowest, took)
        self.total += took
        self.rounds += 1
