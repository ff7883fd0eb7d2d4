#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""pika: publish with confirms, consume, close. See README.md."""
import hashlib
import sys

import pika


def body(i: int) -> bytes:
    return b"message %d " % i + b"x" * (97 * i % 3000)


def main(host: str, port: str, vhost: str, count: str) -> None:
    total = int(count)
    connection = pika.BlockingConnection(pika.ConnectionParameters(host, int(port), vhost))
    channel = connection.channel()
    queue = channel.queue_declare("", exclusive=True).method.queue
    channel.confirm_delivery()
    for i in range(total):
        channel.basic_publish("", queue, body(i), pika.BasicProperties(delivery_mode=2), mandatory=True)

    digest = hashlib.sha256()
    channel.basic_qos(prefetch_count=10)
    for n, (method, _properties, content) in enumerate(channel.consume(queue), 1):
        digest.update(content)
        channel.basic_ack(method.delivery_tag)
        if n == total:
            break
    channel.cancel()
    connection.close()
    print("ok", total, digest.hexdigest())


main(*sys.argv[1:])
