# SPDX-License-Identifier: Apache-2.0
"""Methods that the state of a channel does not allow."""
from pika import spec
from pika.spec import Basic, Channel, Confirm, Connection, Exchange, Queue, Tx

from harness.amqp_raw import method, short_string

from .offender import says
from .program import FINE, LEFT, Program

CLOSE = Channel.Close(200, "", 0, 0)
AN_ERROR = Basic.Qos(prefetch_size=1)  # ends the connection, where what came before was no error
PERSISTENT = spec.BasicProperties(delivery_mode=2)


def closes_twice(o) -> None:
    """A Close-Ok too many."""
    o.publish(exchange="no-such-exchange")
    o.hear(Channel.Close)
    o.say(Channel.CloseOk(), Channel.CloseOk())


def hear_both_close(o) -> None:
    """Both sides have closed the channel; both must answer. A new one on its number is as good as any.
    RabbitMQ forgets its answer, if rarely, when the client's is there before it is written."""
    o.hear(Channel.Close)
    o.hear(Channel.CloseOk)
    o.say(Channel.CloseOk())
    o.do(Channel.Open())


def closing_crosses(o) -> None:
    o.publish(exchange="no-such-exchange")
    o.say(CLOSE)
    hear_both_close(o)


def closes_behind_an_error(o) -> None:
    """The proxies hold basic.get back, and with it the Close, when the broker errs over the binding."""
    o.say(Queue.Bind(queue="none", exchange="amq.direct"), Basic.Get(queue="none"), CLOSE)
    hear_both_close(o)


def hear_the_end(o) -> None:
    o.hear(Channel.Close)
    o.say(Channel.CloseOk())
    o.do(Channel.Open())


def errs_behind_an_error(*behind: spec.amqp_object.Method):
    """What would end the connection is not looked at behind what ends the channel, although that is not told yet."""
    def act(o) -> None:
        o.publish(exchange="no-such-exchange")
        o.say(*behind)
        hear_the_end(o)
    return act


def publishes_behind_an_error(o) -> None:
    o.say(Queue.Declare(queue="none", passive=True))
    o.publish(immediate=True)
    o.publish()
    hear_the_end(o)


def closes_behind_two_errors(o) -> None:
    o.publish(exchange="no-such-exchange")
    o.say(AN_ERROR, CLOSE)
    hear_both_close(o)


def ignored_while_closing(o) -> None:
    """What comes behind an error is not looked at, up to the Close-Ok."""
    o.publish(exchange="no-such-exchange")
    o.hear(Channel.Close)
    o.say(Queue.Declare(queue="left-alone"), Basic.Ack(77), Basic.Qos(prefetch_size=1))
    o.publish()
    o.say(Channel.CloseOk())
    o.do(Channel.Open())


def errs_while_closing(*behind: spec.amqp_object.Method):
    """RabbitMQ looks for the last declared queue even behind an error, and closes the channel twice."""
    def act(o) -> None:
        o.say(Queue.Declare(queue="none", passive=True), Queue.Bind(queue="", exchange="amq.direct"), *behind)
        o.hear(Channel.Close)
        o.leave()
    return act


def opens_during_close(o) -> None:
    o.publish(exchange="no-such-exchange")
    o.hear(Channel.Close)
    o.say(Channel.Open())


def one_channel_too_many(o) -> None:
    o.again(channel_max=2)
    o.do(Channel.Open(), channel=2)
    o.say(Channel.Open(), channel=3)


def highest_channel(o) -> None:
    o.do(Channel.Open(), channel=65535)
    o.publish(key="nowhere", body=b"lost", mandatory=True, channel=65535)
    o.hear(Basic.Return, 65535)


def more_than_channel_max(o) -> None:
    """The number counts channels, it is not the highest."""
    o.again(channel_max=2)
    o.do(Channel.Open(), channel=2000)
    o.do(CLOSE, channel=2000)
    o.do(Channel.Open(), channel=2)


def busy_commit(o) -> None:
    """Commits what takes the broker a moment, and does not wait."""
    o.do(Queue.Declare(queue="committed", durable=True), Tx.Select())
    for _ in range(20):
        o.publish(key="committed", body=bytes(5000), properties=PERSISTENT)
    o.say(Tx.Commit(), Basic.Qos(), AN_ERROR)


def early_cancel(o) -> None:
    o.do(Queue.Declare(queue="cancelled"))
    o.say(Basic.Consume(queue="cancelled", consumer_tag="t"), Basic.Cancel("t"))
    o.hear(Basic.ConsumeOk)
    if o.hears(Basic.CancelOk):  # it comes from the queue: what is said before may pass it
        o.say(AN_ERROR)


def late_cancel(o) -> None:
    o.do(Queue.Declare(queue="cancelled"), Basic.Consume(queue="cancelled", consumer_tag="t"))
    o.do(Basic.Cancel("t"), Basic.Cancel("t"))


PROGRAMS = [
    Program(504, "a method on a channel that was never open", says(Basic.Qos(), channel=7)),
    Program(504, "a message on a channel that was never open", lambda o: o.publish(channel=7)),
    Program(504, "channel.close on a channel that was never open", says(CLOSE, channel=7)),
    Program(504, "a method on a channel that is closed", lambda o: (o.do(CLOSE), o.say(Basic.Qos()))),
    Program(504, "channel.close on a channel that is closed", lambda o: (o.do(CLOSE), o.say(CLOSE))),
    Program(504, "a second open", says(Channel.Open())),
    Program(504, "a second open before the first is answered",
            says(Channel.Open(), Channel.Open(), channel=2)),
    Program(504, "an open before the Close-Ok", opens_during_close),
    Program(504, "a Close-Ok too many", closes_twice),
    Program(FINE, "closes that cross", closing_crosses),
    Program(FINE, "a close behind what waits behind an error", closes_behind_an_error),
    Program(FINE, "methods behind an error", ignored_while_closing),
    Program(FINE, "a connection's error behind a channel's", errs_behind_an_error(AN_ERROR)),
    Program(FINE, "a queue of a bad type behind a channel's error",
            errs_behind_an_error(Queue.Declare(queue="bad", arguments={"x-queue-master-locator": 1}))),
    Program(FINE, "a connection's error and a close behind a channel's error", closes_behind_two_errors),
    Program(FINE, "immediate behind a channel's error", publishes_behind_an_error),
    Program(LEFT, "an error behind an error", errs_while_closing()),
    Program(LEFT, "an error behind an error, and a close that crosses", errs_while_closing(CLOSE)),
    Program(FINE, "closed and opened again", lambda o: (o.do(CLOSE), o.do(Channel.Open()))),

    Program(503, "a Close-Ok unasked", says(Channel.CloseOk())),
    Program(503, "channel.flow-ok", says(Channel.FlowOk(True))),
    Program(503, "channel.open-ok", says(Channel.OpenOk())),
    Program(503, "queue.declare-ok", says(Queue.DeclareOk("q", 0, 0))),
    Program(503, "exchange.declare-ok", says(Exchange.DeclareOk())),
    Program(503, "basic.qos-ok", says(Basic.QosOk())),
    Program(503, "basic.cancel-ok", says(Basic.CancelOk("t"))),
    Program(503, "confirm.select-ok", says(Confirm.SelectOk())),
    Program(503, "tx.commit-ok", says(Tx.CommitOk())),
    Program(503, "connection.close on channel 1", says(Connection.Close(200, "", 0, 0))),
    Program(503, "connection.tune-ok on channel 1", says(Connection.TuneOk(1, 4096, 0))),
    Program(503, "connection.update-secret on channel 1",
            lambda o: o.raw(method((10, 70), bytes(4) + short_string("why"), 1))),

    Program(504, "channel.open on channel 0", says(Channel.Open(), channel=0)),
    Program(504, "queue.declare on channel 0", says(Queue.Declare(queue="q"), channel=0)),
    Program(504, "a message on channel 0", lambda o: o.publish(channel=0)),
    Program(504, "connection.tune-ok again", says(Connection.TuneOk(1, 4096, 0), channel=0)),
    Program(504, "connection.open again", says(Connection.Open("/"), channel=0)),
    Program(504, "connection.blocked by a client", says(Connection.Blocked("me"), channel=0)),

    Program(530, "one channel too many", one_channel_too_many),
    Program(FINE, "the highest channel number", highest_channel),
    Program(FINE, "channel numbers over channel_max", more_than_channel_max),

    Program(504, "a method behind tx.commit", busy_commit),
    Program(541, "basic.cancel before consume-ok", early_cancel),
    Program(FINE, "basic.cancel of what is cancelled", late_cancel),
]
