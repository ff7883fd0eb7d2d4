# SPDX-License-Identifier: Apache-2.0
"""One program on both sides, and what is shown when it is not heard alike."""
import difflib
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import zip_longest
from typing import Optional

from .generate import Step, program
from .stand import Stand

SHORTENING_SECONDS = 60
ATTEMPTS = 3


class Difference:
    """The first step that was heard differently."""

    def __init__(self, steps: list[Step], at: int, alone: list[str], shared: list[str]):
        self.steps, self.at, self.alone, self.shared = steps[:at + 1], at, alone, shared

    def __str__(self) -> str:
        lines = [f"  {number}: {said(step)}" for number, step in enumerate(self.steps)]
        lines += difflib.unified_diff(self.alone, self.shared, "alone", "shared", lineterm="", n=3)
        return "\n".join(lines)


def said(step: Step) -> str:
    return "\n     ".join(f"{name}{number} {command.name} {command.arguments}" for (name, number), command in step.said)


def compare(stand: Stand, steps: list[Step]) -> tuple[Optional[Difference], list[list[str]]]:
    with ThreadPoolExecutor(1) as beside:
        promise = beside.submit(stand.alone, steps)
        shared = stand.shared(steps)
        alone = promise.result()
    for at, (one, other) in enumerate(zip_longest(alone, shared, fillvalue=[])):
        if one != other:
            return Difference(steps, at, one, other), alone
    assert len(alone) == len(steps), f"the program can't be played: {alone[-1]}"
    return None, alone


def shorter(steps: list[Step]):
    """The program without its last steps, without one step, and without one command, in this order."""
    for at in reversed(range(len(steps) - 1)):
        yield steps[:at] + steps[at + 1:]
    for at, step in enumerate(steps):
        for left_out in range(len(step.said) if len(step.said) > 1 else 0):
            rest = step.said[:left_out] + step.said[left_out + 1:]
            yield steps[:at] + [step._replace(said=rest)] + steps[at + 1:]


def differs(stand: Stand, steps: list[Step]) -> Optional[Difference]:
    """A difference that comes every time: on a busy machine one side may have been looked at too early."""
    for _ in range(ATTEMPTS):
        difference, _heard = compare(stand, steps)
        if difference is None:
            return None
    return difference


class Comparison:
    def __init__(self, stand: Stand, seed: int, about: str = "", is_shown: bool = False):
        self.stand, self.seed, self.about = stand, seed, about
        steps = program(seed, about)
        self.difference, heard = compare(stand, steps)
        if self.difference and differs(stand, steps) is None:
            print(f"seed {seed} was heard differently once, but not again:\n{self.difference}")
            self.difference = None
        if is_shown:
            for step, lines in zip(steps, heard):
                print(said(step), *("    " + line for line in lines), sep="\n")

    def is_equal(self) -> bool:
        return self.difference is None

    def shortened(self) -> Difference:
        """Leaves out what is not needed for a difference, as long as there is time."""
        deadline = time.monotonic() + SHORTENING_SECONDS
        found, is_shorter = self.difference, True
        while is_shorter:
            is_shorter = False
            for steps in shorter(found.steps):
                if time.monotonic() > deadline:
                    return found
                less = differs(self.stand, steps)
                if less:
                    found, is_shorter = less, True
                    break
        return found

    def report(self) -> str:
        about = f" --about {self.about}" if self.about else ""
        again = f"tests/isolation/differential --from {self.seed} --seeds 1{about}"
        return f"seed {self.seed} is not heard alike ({again}):\n{self.difference}"
