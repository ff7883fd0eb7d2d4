# SPDX-License-Identifier: Apache-2.0
"""A program: what an offender does on a connection of its own, and what RabbitMQ does to it when it is alone."""
from typing import Callable, NamedTuple

from .offender import Offender

# What becomes of the offender, when it is no reply code: hard codes end its connection, soft ones a channel.
FINE = "fine"  # nothing: channel 1 goes on
DROPPED = "dropped"  # its TCP connection is closed without a word
LEFT = "left"  # it has gone by itself


class Program(NamedTuple):
    expects: object  # a reply code, or one of the above
    name: str
    act: Callable[[Offender], None]

    def is_met_by(self, outcome: list[str]) -> bool:
        last = outcome[-1]
        return last == self.expects or f".Close {self.expects} " in last


def run(program: Program, where, vhost: str) -> list[str]:
    """Runs it against that endpoint. Returns its outcome: a line for each thing that the offender heard."""
    with Offender(where, vhost) as offender:
        try:
            program.act(offender)
            offender.listen_to_the_end(is_fine=program.expects == FINE)
        except AssertionError as error:  # heard something else than the program has waited for
            offender.outcome.append(str(error))
        return offender.outcome
