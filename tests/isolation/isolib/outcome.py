# SPDX-License-Identifier: Apache-2.0
"""What was heard as lines of text that can be compared."""
import re

from pika import spec

from harness.amqp_client import Heard

# What varies from run to run, or is not the same by design, and what stands for it.
VARYING = (
    (re.compile(r"amq\.gen-[\w-]+"), "amq.gen-*"),
    (re.compile(r"amq\.ctag-[\w-]+"), "amq.ctag-*"),
    (re.compile(r"in vhost '[^']*'"), "in vhost '*'"),
    # RabbitMQ shows the bytes that it can't make sense of as Erlang terms; the proxies say how many, and where.
    (re.compile(r", all octets = <<.*?>>", re.DOTALL), ""),
    (re.compile(r"cannot decode (<<.*>>|\d+ bytes of arguments)", re.DOTALL), "cannot decode *"),
    (re.compile(r"(, channel \d+)?, \d+ octets"), ""),
    (re.compile(r"(?<=,)\s+"), ""),
)


def normalise(text: str) -> str:
    for pattern, stand_in in VARYING:
        text = pattern.sub(stand_in, text)
    return text


def describe(heard: Heard) -> str:
    """One line: channel, method, and what it says."""
    said = vars(heard.method)
    if isinstance(heard.method, (spec.Connection.Close, spec.Channel.Close)):
        fields = f"{said['reply_code']} {said['class_id']}.{said['method_id']} {said['reply_text']}"
    else:
        fields = " ".join(f"{name}={value!r}" for name, value in said.items() if not name.startswith("_"))
    body = "" if heard.body is None else f" body={heard.body!r}"
    return normalise(f"{heard.channel} {heard.method.NAME} {fields}{body}".strip())


def lacks_answers(some: list[str], all_of_them: list[str]) -> bool:
    """Whether the same end came, but not all that came before it: RabbitMQ may answer on a channel and then close the
    connection before the answer is written, if it has cores enough to do both at once."""
    rest = iter(all_of_them)
    return len(some) < len(all_of_them) and some[-1] == all_of_them[-1] and all(line in rest for line in some)
