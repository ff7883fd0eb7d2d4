# SPDX-License-Identifier: Apache-2.0
"""One of the two places where programs are run: a vhost, its bystander, and where offenders connect."""
from typing import Optional

from harness.chain import Endpoint
from harness.rabbitmq import NodeRef

from .bystander import Bystander, Held
from .program import Program, run


class Side:
    def __init__(self, node: NodeRef, offenders: Endpoint, bystanders: Endpoint, vhost: str):
        self.node, self.offenders, self.bystanders, self.vhost = node, offenders, bystanders, vhost
        self.held = Held(node, vhost)
        self.bystander: Optional[Bystander] = Bystander(bystanders, vhost)

    def connections(self) -> list[str]:
        """The vhost's connections, as the broker tells them apart."""
        return [row["pid"] for row in self.node.connections("pid", vhost=self.vhost)]

    def run(self, program: Program) -> list[str]:
        """The program's outcome. Whatever the last one has done to the bystander, here is a good one."""
        if self.bystander is None:
            self.bystander = Bystander(self.bystanders, self.vhost)
        return run(program, self.offenders, self.vhost)

    def check(self) -> None:
        """Raises what is wrong with the bystander, which is replaced then."""
        bystander, self.bystander = self.bystander, None
        try:
            bystander.check()
        except BaseException:
            bystander.client.sock.close()
            raise
        self.bystander = bystander

    def finish(self) -> None:
        """All confirms that were pending arrive."""
        self.held.wake()
        if self.bystander:
            self.bystander.expect_confirms()
            self.bystander.close()
