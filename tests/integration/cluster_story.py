# SPDX-License-Identifier: Apache-2.0
"""What a client does before and after the node dies on which its queues live, and all that it hears.

Two clients with the same story at nodes that have survived must hear the same. Each has queues of its own.
"""
from collections import defaultdict

from pika import spec
from pika.spec import Basic, BasicProperties, Channel, Confirm, Queue

from harness.amqp_client import AmqpClient, Heard

KINDS = {"classic": {}, "durable": {"durable": True},
         "quorum": {"durable": True, "arguments": {"x-queue-type": "quorum"}},
         "stream": {"durable": True, "arguments": {"x-queue-type": "stream"}}}
GONE = ("classic", "durable")  # with their node
MESSAGES = 6
LATE = 4
# A channel for each kind of queue (the unit's digit) and of use.
SLOW, SILENT, WIDE, COMMANDS, BACK = 10, 20, 30, 40, 50


class Story:
    def __init__(self, name: str, client: AmqpClient, is_notified: bool):
        """The client, on which no channel above 1 is open, can do consumer_cancel_notify or not."""
        self.name, self.client, self.is_notified = name, client, is_notified
        self.open: set[int] = set()
        self.settling: set[int] = set()  # channels that acknowledge what comes
        self.answers: dict[int, list] = defaultdict(list)  # by channel; with Cancel and Close
        self.deliveries: dict[int, list[Heard]] = defaultdict(list)

    def queue(self, kind: str) -> str:
        return f"{self.name}-{kind}"

    # --- saying and hearing

    def listen(self) -> Heard:
        heard = self.client.listen()
        assert heard is not None and heard.channel, f"the connection of {self.name} ends: {heard}"
        if isinstance(heard.method, Basic.Deliver):
            self.deliveries[heard.channel].append(heard)
            if heard.channel in self.settling:
                self.client.say(heard.channel, Basic.Ack(heard.method.delivery_tag))
            return heard
        if isinstance(heard.method, Channel.Close):
            self.client.say(heard.channel, Channel.CloseOk())
            self.open.discard(heard.channel)
        if not isinstance(heard.method, (Basic.Ack, Channel.OpenOk)):
            self.answers[heard.channel].append(heard.method)
        return heard

    def call(self, channel: int, command: spec.amqp_object.Method) -> Heard:
        """Says it on that channel, and hears until that is answered, or closed for it."""
        if channel not in self.open:
            self.open.add(channel)
            self.client.say(channel, Channel.Open())
            self.hear_on(channel)
        self.client.say(channel, command)
        return self.hear_on(channel)

    def hear_on(self, channel: int) -> Heard:
        """The next answer on that channel."""
        while (heard := self.listen()).channel != channel or isinstance(heard.method, (Basic.Deliver, Basic.Cancel)):
            pass
        return heard

    def await_deliveries(self, count: int, channel: int) -> None:
        while len(self.deliveries[channel]) < count:
            self.listen()

    def publish(self, channel: int, kind: str, body: bytes) -> None:
        """One message, and waits for its confirm."""
        self.client.publish(channel, "", self.queue(kind), body, BasicProperties(delivery_mode=2), mandatory=True)
        while not isinstance(self.hear_on(channel).method, Basic.Ack):
            pass

    # --- the story

    def declare(self, maker: AmqpClient) -> None:
        """By a client at the node on which the queues are to live, with messages in them."""
        for kind, options in KINDS.items():
            maker.call(1, Queue.Declare(queue=self.queue(kind), **options), Queue.DeclareOk)
            for number in range(MESSAGES):
                maker.publish(1, "", self.queue(kind), b"%d" % number, BasicProperties(delivery_mode=2))
        maker.call(1, Channel.Close(0, "", 0, 0), Channel.CloseOk)
        maker.call(1, Channel.Open(), Channel.OpenOk)

    def begin(self) -> None:
        """Each queue gets a consumer that holds two messages and one with no_ack, which takes the others, and one that
        would take many."""
        for at, kind in enumerate(KINDS):
            offset = {"x-stream-offset": "first"} if kind == "stream" else {}
            self.call(SLOW + at, Basic.Qos(prefetch_count=2))
            self.call(SLOW + at, Basic.Consume(queue=self.queue(kind), consumer_tag="t", arguments=offset))
            self.await_deliveries(2, SLOW + at)
            if kind != "stream":
                self.call(SILENT + at, Basic.Consume(queue=self.queue(kind), consumer_tag="n", no_ack=True))
                self.await_deliveries(MESSAGES - 2, SILENT + at)
                self.call(WIDE + at, Basic.Consume(queue=self.queue(kind), consumer_tag="w"))

    def go_on(self) -> None:
        """The node is dead."""
        for at, kind in enumerate(KINDS):
            if kind in GONE and self.is_notified:
                self.await_cancels(SLOW + at, SILENT + at, WIDE + at)
            self.settle(SLOW + at)
            self.order(COMMANDS + at, kind)
            if kind not in GONE:
                self.await_all(SLOW + at, SILENT + at, WIDE + at)
            self.call(COMMANDS + at, Basic.Consume(queue=self.queue(kind), consumer_tag="x"))
            self.call(SLOW + at, Basic.Cancel("t"))
            self.call(COMMANDS + at, Queue.Declare(queue=self.queue(kind), passive=True))

    def await_all(self, *channels: int) -> None:
        """Consumers of what has replicas go on as if nothing had happened."""
        while sum(len(self.deliveries[channel]) for channel in channels) < MESSAGES + LATE:
            self.listen()

    def await_cancels(self, *channels: int) -> None:
        while not all(any(isinstance(said, Basic.Cancel) for said in self.answers[channel]) for channel in channels):
            self.listen()

    def settle(self, channel: int) -> None:
        """Acknowledges what it holds, be the queue there or not, and from now on what comes."""
        self.settling.add(channel)
        for heard in self.deliveries[channel]:
            self.client.say(channel, Basic.Ack(heard.method.delivery_tag))
        self.call(channel, Basic.Qos(prefetch_count=2))

    def order(self, channel: int, kind: str) -> None:
        queue = self.queue(kind)
        self.call(channel, Queue.Declare(queue=queue, passive=True))
        self.call(channel, Queue.Bind(queue=queue, exchange="amq.direct", routing_key=queue))
        if kind != "stream":
            self.call(channel, Basic.Get(queue=queue))
            self.call(channel, Queue.Purge(queue=queue))
        self.call(channel, Basic.Qos(prefetch_count=1))
        self.call(channel, Confirm.Select())
        for number in range(LATE):
            self.publish(channel, kind, b"late %d" % number)
        self.call(channel, Queue.Declare(queue=queue, **KINDS[kind]))
        self.call(channel, Queue.Declare(queue=queue, auto_delete=True))

    def end(self) -> None:
        """The node is back, and so is what is durable."""
        for at, kind in enumerate(KINDS):
            queue, channel = self.queue(kind), BACK + at
            self.call(channel, Queue.Declare(queue=queue, passive=True))
            self.call(channel, Confirm.Select())
            self.publish(channel, kind, b"back")

    # --- what was heard

    def heard(self, home: str) -> dict[int, list[str]]:
        """On each channel, without what depends on when it is asked for; `home` is the node that was dead."""
        def tidy(text: str) -> str:
            return text.replace(f"{self.name}-", "").replace(home, "HOME")

        def line(method: spec.amqp_object.Method) -> str:
            # A stream counts its messages when it likes.
            fields = method.queue if isinstance(method, Queue.DeclareOk) else vars(method)
            return tidy(f"{method.NAME} {fields}")
        lines = {channel: [line(method) for method in methods] for channel, methods in sorted(self.answers.items())}
        for at, kind in enumerate(KINDS):
            if kind not in GONE:  # of several consumers any may get a message
                came = [heard.body for use in (SLOW, SILENT, WIDE) for heard in self.deliveries[use + at]]
                lines[at] = [f"{kind}: {sorted(came)}"]
        return lines
