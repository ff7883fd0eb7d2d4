# SPDX-License-Identifier: Apache-2.0
"""Errors that cost no more than a channel."""
from pika import spec
from pika.spec import Basic, Confirm, Exchange, Queue, Tx

from .offender import says
from .program import FINE, Program


def after(*first: spec.amqp_object.Method, then: spec.amqp_object.Method):
    """The last command errs because of those before, which are answered."""
    def act(o) -> None:
        o.do(*first)
        o.say(then)
    return act


def publishes(*first: spec.amqp_object.Method, exchange: str = "", **properties):
    def act(o) -> None:
        o.do(*first)
        o.publish(exchange, properties=spec.BasicProperties(**properties))
    return act


def acked_twice(o) -> None:
    o.do(Queue.Declare(queue="acked"))
    o.publish(key="acked")
    o.do(Basic.Get(queue="acked"))
    o.say(Basic.Ack(1), Basic.Ack(1))


Q, E = "soft", "soft-exchange"
PLAIN, DURABLE = Queue.Declare(queue=Q), Queue.Declare(queue=Q, durable=True)
DIRECT, FANOUT = Exchange.Declare(exchange=E, type="direct"), Exchange.Declare(exchange=E, type="fanout")

PROGRAMS = [
    Program(404, "a queue that is not there declared passively", says(Queue.Declare(queue="none", passive=True))),
    Program(404, "an exchange that is not there declared passively",
            says(Exchange.Declare(exchange="none", type="", passive=True))),
    Program(404, "basic.consume from no queue", says(Basic.Consume(queue="none"))),
    Program(404, "basic.get from no queue", says(Basic.Get(queue="none"))),
    Program(404, "no queue purged", says(Queue.Purge(queue="none"))),
    Program(FINE, "no queue deleted", lambda o: o.do(Queue.Delete(queue="none"))),
    Program(FINE, "no exchange deleted", lambda o: o.do(Exchange.Delete(exchange="none"))),
    Program(404, "no queue bound", says(Queue.Bind(queue="none", exchange="amq.direct"))),
    Program(404, "a queue bound to no exchange", after(PLAIN, then=Queue.Bind(queue=Q, exchange="none"))),
    Program(404, "an exchange bound to none", says(Exchange.Bind(destination="amq.direct", source="none"))),
    Program(404, "a message to no exchange", publishes(exchange="none")),
    Program(404, "the last declared queue where none was declared", says(Basic.Get(queue=""))),

    Program(406, "a queue declared otherwise", after(PLAIN, then=DURABLE)),
    Program(406, "a queue declared with other arguments",
            after(PLAIN, then=Queue.Declare(queue=Q, arguments={"x-max-length": 5}))),
    Program(406, "an exchange declared otherwise", after(DIRECT, then=FANOUT)),
    Program(406, "a queue argument of the wrong type",
            says(Queue.Declare(queue="wrong", arguments={"x-message-ttl": "long"}))),
    Program(406, "a queue deleted that is not empty",
            lambda o: (o.do(Queue.Declare(queue="full")), o.publish(key="full"),
                       o.say(Queue.Delete(queue="full", if_empty=True)))),
    Program(406, "a queue deleted that is in use",
            after(Queue.Declare(queue="used"), Basic.Consume(queue="used"),
                  then=Queue.Delete(queue="used", if_unused=True))),
    Program(406, "an exchange deleted that is in use",
            after(PLAIN, DIRECT, Queue.Bind(queue=Q, exchange=E, routing_key="k"),
                  then=Exchange.Delete(exchange=E, if_unused=True))),
    Program(406, "confirms after transactions", after(Tx.Select(), then=Confirm.Select())),
    Program(406, "transactions after confirms", after(Confirm.Select(), then=Tx.Select())),
    Program(406, "tx.commit without transaction", says(Tx.Commit())),
    Program(406, "tx.rollback without transaction", says(Tx.Rollback())),
    Program(406, "basic.ack of an unknown tag", says(Basic.Ack(99))),
    Program(406, "basic.ack of an unknown tag, multiple", says(Basic.Ack(99, multiple=True))),
    Program(FINE, "basic.ack of all, where there is none", says(Basic.Ack(0, multiple=True))),
    Program(406, "basic.nack of an unknown tag", says(Basic.Nack(99))),
    Program(406, "basic.reject of an unknown tag", says(Basic.Reject(99))),
    Program(406, "a delivery acked twice", acked_twice),
    Program(406, "a user id of another", publishes(user_id="another")),
    Program(406, "an expiration that is no number", publishes(expiration="soon")),

    Program(403, "a queue by a reserved name", says(Queue.Declare(queue="amq.mine"))),
    Program(403, "an exchange by a reserved name", says(Exchange.Declare(exchange="amq.mine", type="direct"))),
    Program(403, "an exchange of the broker's deleted", says(Exchange.Delete(exchange="amq.direct"))),
    Program(403, "the default exchange declared", says(Exchange.Declare(exchange="", type="direct"))),
    Program(403, "the default exchange deleted", says(Exchange.Delete(exchange=""))),
    Program(403, "a queue bound to the default exchange", after(PLAIN, then=Queue.Bind(queue=Q, exchange=""))),
    Program(403, "a message to an internal exchange",
            publishes(Exchange.Declare(exchange="inside", type="fanout", internal=True), exchange="inside")),
    Program(403, "a second exclusive consumer",
            after(PLAIN, Basic.Consume(queue=Q), then=Basic.Consume(queue=Q, exclusive=True))),
]
