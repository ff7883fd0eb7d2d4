#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What operators limit, take away or close: RabbitMQ applies it to users, vhosts and connections; here many share one.

Each test is played alone, straight against the broker, and through the proxies. Where the outcomes differ the test says
how, and amqp/DIRECT.md why.
"""
import re
import sys
from pathlib import Path
from typing import Callable

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from pika.spec import Basic, Channel, Confirm, Queue

from harness.amqp_client import AmqpClient
from harness.case import IntegrationTest, main
from harness.chain import Endpoint, NoChain, mode
from isolib.outcome import describe

BODY_MAX = 64 << 10
PLAIN, CROWDED, DOOMED = "plain", "crowded", "doomed"  # vhosts
ANYBODY, MANY_CHANNELS, DELETED, DISOWNED = "anybody", "many-channels", "deleted", "disowned"  # users
CHANNELS = 8


class Side:
    """One of the two places where tests are played, with users and vhosts of its own."""

    def __init__(self, name: str, chain):
        self.name, self.chain = name, chain
        self.clients: list[AmqpClient] = []

    def of(self, name: str) -> str:
        return f"{self.name}-{name}"

    def client(self, user: str = ANYBODY, vhost: str = PLAIN, guest: int = 101) -> AmqpClient:
        """With channel 1 open."""
        client = AmqpClient(self.chain.endpoint(guest))
        self.clients.append(client)
        client.log_in(self.of(vhost), self.of(user), "secret", capabilities={"authentication_failure_close": True})
        client.call(1, Channel.Open(), Channel.OpenOk)
        return client

    def leave(self) -> None:
        """All its clients are gone."""
        while self.clients:
            self.clients.pop().sock.close()

    def refusal(self, **whom) -> str:
        """What somebody is told who may not log in."""
        try:
            self.client(**whom).close()
        except AssertionError as error:  # it has heard a Close, and not Open-Ok or Tune
            return self.tidy(str(error))
        return "logged in"

    def tidy(self, text: str) -> str:
        return re.sub(r"(channel) \d+", r"\1 *", text).replace(self.name + "-", "")

    def heard(self, client: AmqpClient, channel: int = 1) -> str:
        """The next that is heard on that channel, described."""
        while not client.waiting[channel]:
            heard = client.listen()
            assert heard is not None, "dropped"
            client.waiting[heard.channel].append(heard)
        return self.tidy(describe(client.waiting[channel].popleft()))


def sides(chain, node) -> list[Side]:
    alone = Side("alone", NoChain(Endpoint(node.host, node.port)))
    return [alone] if mode() == NoChain.mode else [alone, Side("shared", chain)]


def works(client: AmqpClient, channel: int = 1) -> None:
    client.call(channel, Basic.Qos(), Basic.QosOk)


class Limits(IntegrationTest):
    own_broker = True
    broker_settings = f"max_message_size = {BODY_MAX}\nconsumer_timeout = 1000\n"
    host_args = ("--body-max", BODY_MAX)

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.sides = sides(cls.chain, cls.node)
        cls.erlang("application:set_env(rabbit, channel_tick_interval, 200)")  # between looks at consumers
        cls.for_each_side(
            *(f'rabbit_vhost:add(<<"SIDE-{vhost}">>, W)' for vhost in (PLAIN, CROWDED, DOOMED)),
            *(f'rabbit_auth_backend_internal:add_user(<<"SIDE-{user}">>, <<"secret">>, W)'
              for user in (ANYBODY, MANY_CHANNELS, DELETED, DISOWNED)),
            *(f'rabbit_auth_backend_internal:set_permissions(<<"SIDE-{user}">>, <<"SIDE-{vhost}">>, A, A, A, W)'
              for user in (ANYBODY, MANY_CHANNELS, DELETED, DISOWNED) for vhost in (PLAIN, CROWDED, DOOMED)),
            f'rabbit_auth_backend_internal:set_user_limits(<<"SIDE-{MANY_CHANNELS}">>, '
            f'<<"{{\\"max-channels\\":{CHANNELS}}}">>, W)',
            f'rabbit_vhost_limit:set(<<"SIDE-{CROWDED}">>, [{{<<"max-connections">>, 1}}, {{<<"max-queues">>, 2}}], W)')

    @classmethod
    def erlang(cls, *expressions: str) -> None:
        cls.node.eval(f'W = <<"test">>, A = <<".*">>, {", ".join(expressions)}, {{W, A}}')

    @classmethod
    def for_each_side(cls, *expressions: str) -> None:
        """In one call, since each takes its time."""
        cls.erlang(*(expression.replace("SIDE", side.name) for side in cls.sides for expression in expressions))

    def tearDown(self) -> None:
        for side in self.sides:
            side.leave()

    def on_both(self, act: Callable[[Side], list]) -> list:
        """The outcome, which is the same on both sides."""
        outcomes = [act(side) for side in self.sides]
        for outcome in outcomes[1:]:
            self.assertEqual(outcome, outcomes[0])
        return outcomes[0]

    def shared(self) -> Side:
        if len(self.sides) == 1:
            self.skipTest("is about the shared connection")
        return self.sides[1]

    # --- what one may have

    def test_bodies(self):
        def act(side: Side) -> list:
            client = side.client()
            client.call(1, Confirm.Select(), Confirm.SelectOk)
            for size in (BODY_MAX, BODY_MAX + 1):
                client.publish(1, "", "nowhere", bytes(size))
            return [side.heard(client), side.heard(client)]
        self.assertIn("406", self.on_both(act)[1])

    def test_unacknowledged_for_too_long(self):
        """RabbitMQ's own number of the channel is in the text."""
        def act(side: Side) -> list:
            client, other = side.client(), side.client(guest=102)
            client.call(1, Queue.Declare(queue="late"), Queue.DeclareOk)
            client.publish(1, "", "late")
            client.call(1, Basic.Consume(queue="late", consumer_tag="t"), Basic.ConsumeOk)
            outcome = [side.heard(client), side.heard(client)]
            works(other)
            return outcome
        self.assertIn("406", self.on_both(act)[1])

    def test_queues_of_a_vhost(self):
        def act(side: Side) -> list:
            client = side.client(vhost=CROWDED)
            for queue in ("one", "two", "three"):
                client.say(1, Queue.Declare(queue=queue, exclusive=True))
            outcome = [side.heard(client) for _ in range(3)]
            client.close()
            return outcome
        self.assertIn("406", self.on_both(act)[2])

    def test_connections_of_a_vhost(self):
        """The shared one is one, for a user."""
        first, *rest = self.sides
        for side in self.sides:
            client = side.client(vhost=CROWDED)
            said = side.refusal(vhost=CROWDED, user=ANYBODY if side is first else DISOWNED)
            self.assertIn("connection limit (1) is reached", said)
            for other in rest:
                if side is other:
                    works(side.client(vhost=CROWDED, guest=102))
            client.close()

    def opens_too_many(self, side: Side, client: AmqpClient) -> str:
        """RabbitMQ counts channels a little late. Returns how it ends."""
        for number in range(2, 200):
            client.say(number, Channel.Open())
            heard = client.listen()
            if heard.channel == 0:
                return side.tidy(describe(heard))
        self.fail("any number of channels can be opened")

    def test_channels_of_a_user(self):
        """All lose the connection once, and are told why; after that it is only refused to open more."""
        limit = rf"has reached the maximum allowed user limit of \({CHANNELS}\)"
        alone = self.sides[0]
        self.assertRegex(self.opens_too_many(alone, alone.client(MANY_CHANNELS)), f"530 .* {limit}")
        side = self.shared()
        bystander = side.client(MANY_CHANNELS, guest=102)
        lost = f"320 .*the connection to the broker is lost: NOT_ALLOWED - number of channels .* {limit}"
        self.assertRegex(self.opens_too_many(side, side.client(MANY_CHANNELS)), lost)
        self.assertRegex(side.heard(bystander, 0), lost)
        bystander = side.client(MANY_CHANNELS, guest=102)
        self.assertRegex(self.opens_too_many(side, side.client(MANY_CHANNELS)),
                         "506 .*all channels of the shared connection are in use")
        works(bystander)

    # --- what is taken away

    def test_a_user_is_deleted(self):
        clients = [side.client(DELETED) for side in self.sides]
        others = [side.client(guest=102) for side in self.sides]
        self.for_each_side(f'rabbit_auth_backend_internal:delete_user(<<"SIDE-{DELETED}">>, W)')
        self.assert_forced(clients, "user 'deleted' is deleted")
        for side, other in zip(self.sides, others):
            works(other)
            self.assertIn("ACCESS_REFUSED", side.refusal(user=DELETED))

    def test_permissions_are_taken(self):
        """Of who is connected, and has used them."""
        clients = [side.client(DISOWNED) for side in self.sides]
        for client in clients:
            client.call(1, Queue.Declare(queue="mine", exclusive=True), Queue.DeclareOk)
        whose = f'<<"SIDE-{DISOWNED}">>, <<"SIDE-{PLAIN}">>'
        self.for_each_side(f"rabbit_auth_backend_internal:clear_permissions({whose}, W)")
        outcomes = []
        for side, client in zip(self.sides, clients):
            client.call(2, Channel.Open(), Channel.OpenOk)
            client.say(2, Queue.Declare(queue="other", exclusive=True))
            outcomes.append(side.heard(client, 2))
        self.assertRegex(outcomes[0], "403 .*access to queue 'other'")
        self.assertEqual(len(set(outcomes)), 1, outcomes)

    def test_a_vhost_is_deleted(self):
        clients = [side.client(vhost=DOOMED) for side in self.sides]
        others = [side.client(guest=102) for side in self.sides]
        self.for_each_side(f'rabbit_vhost:delete(<<"SIDE-{DOOMED}">>, W)')
        self.assert_forced(clients, "vhost 'doomed' is (down|deleted)")
        for other in others:
            works(other)

    def test_an_operator_closes(self):
        clients = [side.client(guest=guest) for side in self.sides for guest in (101, 102)]
        for side in self.sides:
            self.node.close_connections(side.of(PLAIN), "for repair")
        self.assert_forced(clients, "for repair")
        for side in self.sides:
            works(side.client())

    def assert_forced(self, clients: list[AmqpClient], why: str) -> None:
        """All are told 320, with this reason."""
        for client in clients:
            said = re.sub("(alone|shared)-|the connection to the broker is lost: ", "", self.sides[0].heard(client, 0))
            self.assertRegex(said, f"^0 Connection.Close 320 0.0 CONNECTION_FORCED - {why}$")


if __name__ == "__main__":
    main()
