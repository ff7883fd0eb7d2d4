#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Sharing a connection to the broker: nobody can hurt the others, and everybody is told what he would be told alone.

Each program of an offender (the tables PROGRAMS in isolib/) is run twice at the same time: alone, with a connection to
the broker of its own, and through the proxies in direct mode, on a connection that it shares with a bystander. The two
outcomes must be equal, or differ as isolib/deviations.py says. After each program the bystander must find all that it
had as it was. At the end the shared connection must still be the first one.

With AMQPVSOCK_MODE=broker the programs are only run alone: is that what RabbitMQ does? All outcomes are left in
tests/isolation/outcomes.txt of the build folder.
"""
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "lib")]
from harness.case import IntegrationTest, main
from harness.chain import Endpoint, NoChain, mode
from harness.paths import build_dir
from harness.workspace import wait_until
from isolib import arguments, channels, exclusive, framing, queue_types, shared, soft
from isolib.deviations import DEVIATIONS
from isolib.outcome import lacks_answers
from isolib.program import Program
from isolib.side import Side

GROUPS = (framing, channels, arguments, queue_types, soft, exclusive, shared)
ATTEMPTS = 3  # to hear all that RabbitMQ answers before it closes a connection


class Isolation(IntegrationTest):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.outcomes: list[str] = []
        cls.alone = cls._alone()
        cls.shared = None
        if mode() != NoChain.mode:
            cls.shared = cls._side(cls.chain.endpoint(101), cls.chain.endpoint(102), cls.vhost)
            wait_until(lambda: len(cls.shared.connections()) == cls.chain.shared_connections,
                       what="the bystander has the only connections")
            cls.connections = cls.shared.connections()

    @classmethod
    def _alone(cls) -> Side:
        vhost = cls.vhost + "-alone"
        cls.node.add_vhost(vhost)
        cls.addClassCleanup(cls.node.delete_vhost, vhost)
        broker = Endpoint(cls.node.host, cls.node.port)
        return cls._side(broker, broker, vhost)

    @classmethod
    def _side(cls, offenders: Endpoint, bystanders: Endpoint, vhost: str) -> Side:
        side = Side(cls.node, offenders, bystanders, vhost)
        cls.addClassCleanup(side.held.wake)  # or its vhost can't be deleted
        return side

    @classmethod
    def tearDownClass(cls) -> None:
        """What bystanders waited for arrives, and the connection has been the same all the time."""
        try:
            cls._write_outcomes()
            if cls.shared:
                assert cls.shared.connections() == cls.connections, f"not {cls.connections} any more"
                cls.shared.finish()
            cls.alone.finish()
        except BaseException:
            cls.failed = True
            raise
        finally:
            super().tearDownClass()

    @classmethod
    def _write_outcomes(cls) -> None:
        folder = build_dir() / "tests" / "isolation"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "outcomes.txt").write_text("\n".join(cls.outcomes))

    # --- one program

    def check_program(self, program: Program) -> None:
        with ThreadPoolExecutor(1) as beside:
            promise = beside.submit(self.alone.run, program)
            outcome = self.shared.run(program) if self.shared else None
            alone = promise.result()
        attempts = ATTEMPTS if outcome and program.name not in DEVIATIONS else 0
        for _ in range(attempts):
            if lacks_answers(alone, outcome):
                alone = self.alone.run(program)
        self._record(program, alone=alone, shared=outcome)
        self.assertTrue(program.is_met_by(alone), f"alone, the outcome is not {program.expects}: {alone}")
        self.alone.check()
        if self.shared:
            self._compare(program, alone, outcome)
            self.shared.check()

    def _compare(self, program: Program, alone: list[str], outcome: list[str]) -> None:
        deviation = DEVIATIONS.get(program.name)
        self.assertEqual(outcome, list(deviation.outcome) if deviation else alone)
        self.assertFalse(deviation and outcome == alone, "deviations.py lists it, but it is the same")

    def _record(self, program: Program, **sides) -> None:
        lines = [f"{program.name}\n"]
        for side, outcome in sides.items():
            lines += [f"    {side:6} {line}\n" for line in outcome or ()]
        if program.name in DEVIATIONS:
            lines.append(f"    why    {DEVIATIONS[program.name].why}\n")
        self.outcomes.append("".join(lines))


def add_tests() -> None:
    """A test for each program, in the order of the tables."""
    for group in GROUPS:
        for number, program in enumerate(group.PROGRAMS):
            def test(self, program=program):
                self.check_program(program)
            words = re.sub(r"\W+", "_", program.name)
            setattr(Isolation, f"test_{group.__name__.split('.')[-1]}_{number:02}_{words}", test)


add_tests()

if __name__ == "__main__":
    main()
