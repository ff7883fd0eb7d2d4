# SPDX-License-Identifier: Apache-2.0
"""Ways to leave, and somebody who looks at what is left."""
from pika import spec
from pika.spec import Basic, Channel, Connection

from harness.amqp_client import AmqpClient


def stranger(o) -> AmqpClient:
    """Another connection, beside the offender's."""
    client = AmqpClient(o.where).log_in(o.vhost)
    client.call(1, Channel.Open(), Channel.OpenOk)
    return client


def closes(o) -> None:
    o.client.close()
    o.left = True


def is_refused(o) -> None:
    o.say(Basic.Qos(prefetch_size=1))
    o.client.wait(0, Connection.Close)
    o.say(Connection.CloseOk(), channel=0)
    o.client.expect_end()
    o.left = True


def is_gone(o) -> None:
    o.leave()
