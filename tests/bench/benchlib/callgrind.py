# SPDX-License-Identifier: Apache-2.0
"""What callgrind found, as far as it is asked here: instructions in all, and within some functions."""
import re
from collections import defaultdict
from typing import Iterable

_NAME = re.compile(r"(c?fn)=\((\d+)\)(?: (.*))?")


class Profile:
    """A profile in callgrind's format (of one event, Ir; names compressed, as it writes them)."""

    def __init__(self, text: str):
        self.total = int(re.search(r"^(?:totals|summary): (\d+)", text, re.MULTILINE).group(1))
        self._calls: dict[tuple[str, str], int] = defaultdict(int)  # caller and callee: what the calls cost in all
        names: dict[str, str] = {}
        at = {"fn": "", "cfn": ""}
        cost_follows = False
        for line in text.splitlines():
            if cost_follows:
                self._calls[at["fn"], at["cfn"]] += int(line.split()[-1])
                cost_follows = False
            elif line.startswith("calls="):
                cost_follows = True
            elif match := _NAME.match(line):
                kind, number, name = match.groups()
                at[kind] = names.setdefault(number, name)

    def within(self, functions: Iterable[str]) -> int:
        """Instructions in these functions and all that they call; calls among them count once."""
        functions = set(functions)
        return sum(cost for (caller, callee), cost in self._calls.items()
                   if callee in functions and caller not in functions)
