# SPDX-License-Identifier: Apache-2.0
"""Random programs: steps of commands that are sent at once, after which all must come to rest.

Two runs against the same broker must be heard alike, so a program keeps to what has one outcome:
- A channel takes messages only from its home queue, so its delivery tags have one order.
- What is said at once is said on one channel, or on channels whose home queues are their own.
- What ends a connection is a step of its own.
What else a program keeps away from depends on what it is about: themes.py.
"""
import random
from typing import NamedTuple

from .commands import DEAD_EXCHANGE, DEAD_QUEUE, Command
from .themes import HOMES, LONERS, THEMES, Pace, Theme


class Step(NamedTuple):
    said: list  # of ((client, channel), Command)
    pace: Pace = Pace()
    mix: int = 0  # seed for the order of the frames of different channels


def burst(rng: random.Random, theme: Theme) -> Step:
    """Up to eight commands on one channel."""
    actor = rng.choice(theme.actors)
    kinds = rng.choices(list(theme.weights), list(theme.weights.values()), k=rng.choice((1, 1, 2, 3, 5, 8)))
    return Step([(actor, kind(rng, HOMES[actor])) for kind in kinds], theme.pace)


def chorus(rng: random.Random, theme: Theme) -> Step:
    """Several channels at once."""
    said = [(actor, rng.choice(theme.at_home)(rng, HOMES[actor])) for actor in LONERS for _ in range(rng.randint(1, 6))]
    return Step(said, theme.pace, rng.randrange(1 << 30))


def end(rng: random.Random, theme: Theme) -> Step:
    return Step([(rng.choice(theme.actors), rng.choice(theme.ends))], theme.pace)


def opening(theme: Theme) -> Step:
    declares = [(actor, theme.declare_home(HOMES[actor])) for actor in (("a", 1), *LONERS, ("b", 4))]
    return Step(declares + [
        (("b", 4), Command("Exchange.Declare", {"exchange": DEAD_EXCHANGE, "type": "fanout"})),
        (("b", 4), Command("Queue.Bind", {"queue": DEAD_QUEUE, "exchange": DEAD_EXCHANGE}))], theme.pace)


def program(seed: int, about: str = "") -> list[Step]:
    """The program of that seed, about one of THEMES, or about any."""
    rng = random.Random(seed)
    theme = THEMES[about or rng.choice(list(THEMES))](rng)
    kinds = rng.choices((burst, chorus, end), (16, 4, 1), k=rng.randint(8, 20))
    return [opening(theme)] + [kind(rng, theme) for kind in kinds]
