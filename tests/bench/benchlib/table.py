# SPDX-License-Identifier: Apache-2.0
"""The figures by name, and the table that shows them side by side."""
from statistics import median
from typing import NamedTuple, Optional, Sequence

LABEL_WIDTH, CELL_WIDTH = 38, 18


class Row(NamedTuple):
    """One line of a table: a figure's value with its ratio to the first contender's, or (`over`) its increase
    over that."""
    figure: str
    label: str
    experiment: str
    digits: int = 0
    over: bool = False


def rows_of(experiments: Sequence[str]) -> list[Row]:
    """The rows of tests/bench/run that these experiments fill."""
    return [row for row in ROWS if row.experiment in experiments]


ROWS = (
    Row("bulk_up_1", "bulk, 1 session, up (MiB/s)", "bulk"),
    Row("bulk_down_1", "bulk, 1 session, down (MiB/s)", "bulk"),
    Row("bulk_up_8", "bulk, 8 sessions, up (MiB/s)", "bulk"),
    Row("bulk_down_8", "bulk, 8 sessions, down (MiB/s)", "bulk"),
    Row("cpu_gib", "CPU s per GiB, 8 sessions, all", "bulk", 2),
    Row("cpu_gib_proxies", "  of it the proxies", "bulk", 2),
    Row("rtt_idle_p50", "round trip, idle, p50 (µs)", "rtt", 1),
    Row("rtt_idle_p50", "  more than direct", "rtt", 1, over=True),
    Row("rtt_idle_p99", "round trip, idle, p99 (µs)", "rtt", 1),
    Row("rtt_idle_p99", "  more than direct", "rtt", 1, over=True),
    Row("rtt_busy_p50", "round trip, 8 bulk beside, p50 (µs)", "busy"),
    Row("rtt_busy_p50", "  more than direct", "busy", over=True),
    Row("rtt_busy_p99", "round trip, 8 bulk beside, p99 (µs)", "busy"),
    Row("rtt_busy_p99", "  more than direct", "busy", over=True),
    Row("messages", "messages/s, 8 sessions", "messages"),
    Row("cpu_message", "CPU s per million messages, all", "messages", 2),
    Row("cpu_message_proxies", "  of it the proxies", "messages", 2),
    Row("opened", "sessions opened per s", "sessions"),
    Row("memory_1", "KiB per idle session, 1st hop", "memory", 2),
    Row("memory_2", "KiB per idle session, 2nd hop", "memory", 2),
    Row("memory_3", "KiB per idle session, 3rd hop", "memory", 2),
    Row("amqp", "AMQP messages/s, RabbitMQ", "amqp"),
)


class Results:
    """Every value that was measured, by figure and contender, in the order of rounds."""

    def __init__(self):
        self.samples: dict[str, dict[str, list[float]]] = {}

    def add(self, contender: str, values: dict[str, float]) -> None:
        for figure, value in values.items():
            self.samples.setdefault(figure, {}).setdefault(contender, []).append(value)

    def value(self, figure: str, contender: str) -> Optional[float]:
        """The median of the rounds."""
        samples = self.samples.get(figure, {}).get(contender)
        return median(samples) if samples else None

    def spread(self, figure: str) -> Optional[float]:
        """How far apart the rounds of one contender were at most, (largest - smallest) / median; None when there
        was one round only."""
        several = [samples for samples in self.samples.get(figure, {}).values() if len(samples) > 1 and median(samples)]
        return max(((max(samples) - min(samples)) / median(samples) for samples in several), default=None)

    def to_json(self) -> dict:
        return {figure: {contender: {"median": median(samples), "samples": samples}
                         for contender, samples in by_contender.items()}
                for figure, by_contender in self.samples.items()}


def _ratio(ratio: float) -> str:
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"


def _cell(results: Results, row: Row, contender: str, base: str) -> str:
    value, compared = results.value(row.figure, contender), results.value(row.figure, base)
    if value is None:
        return "-" + " " * 7
    if row.over:
        return "" if compared is None or contender == base else f"{value - compared:+.{row.digits}f}" + " " * 7
    ratio = "" if not compared or contender == base else _ratio(value / compared)
    return f"{value:.{row.digits}f} {ratio:>6}"


def render(results: Results, contenders: Sequence[tuple[str, str]], rows: Sequence[Row]) -> str:
    """The table of these contenders (name, title); all are compared with the first."""
    lines = [" " * LABEL_WIDTH + "".join(f"{title + ' ' * 7:>{CELL_WIDTH}}" for _, title in contenders) + "  spread"]
    for row in rows:
        cells = "".join(f"{_cell(results, row, name, contenders[0][0]):>{CELL_WIDTH}}" for name, _ in contenders)
        spread = None if row.over else results.spread(row.figure)
        lines.append(f"{row.label:<{LABEL_WIDTH}}{cells}  {'' if spread is None else f'{spread:6.0%}'}".rstrip())
    return "\n".join(lines)


def missing(results: Results, contenders: Sequence[str], experiments: Sequence[str]) -> list[str]:
    """Figures that should have come out and didn't. Direct has no proxies to weigh, ssh no third hop."""
    def none_to_have(figure: str, contender: str) -> bool:
        return figure.startswith("memory_") and (contender == "direct" or (contender, figure) == ("ssh", "memory_3"))
    return sorted({f"{row.figure} of {contender}" for row in ROWS for contender in contenders
                   if row.experiment in experiments and not none_to_have(row.figure, contender)
                   and results.value(row.figure, contender) is None})
