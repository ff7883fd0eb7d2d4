# SPDX-License-Identifier: Apache-2.0
"""Where programs are played: a broker with a vhost for each side, and the proxies in direct mode."""
import secrets
from contextlib import ExitStack

from harness import Broker, DirectChain, Endpoint, NoChain, NodeRef, Workspace, shared_node

from .generate import Step
from .player import Player

# Of a cluster's queues, all but exclusive ones: these live where their connection is.
ANYWHERE = "queue_master_locator = random\nqueue_leader_locator = random\n"


class Stand:
    def __init__(self, workspace: Workspace, is_broker_only: bool, is_cluster: bool = False):
        """In a cluster of three, clients and proxies are connected to one node, and queues live on any."""
        self.workspace = workspace
        self.steps = self.lines = 0  # of what was played, and heard
        with ExitStack() as cleanup:
            self.node = self._node(workspace, is_cluster)
            self.broker = Endpoint(self.node.host, self.node.port)
            self.vhosts = {side: f"seeded-{side[0]}-{secrets.token_hex(3)}" for side in ("alone", "shared")}
            for vhost in self.vhosts.values():
                self.node.add_vhost(vhost)
                cleanup.callback(self.node.delete_vhost, vhost)
            self.chain = NoChain(self.broker) if is_broker_only else DirectChain(workspace, [self.broker])
            self.chain.start()
            self._cleanup = cleanup.pop_all()

    @staticmethod
    def _node(workspace: Workspace, is_cluster: bool) -> NodeRef:
        if is_cluster:
            return Broker(workspace, nodes=3, settings=ANYWHERE).start().node
        return shared_node() or Broker(workspace).start().node

    def __enter__(self) -> "Stand":
        return self

    def __exit__(self, *exc) -> None:
        self._cleanup.__exit__(*exc)

    def alone(self, steps: list[Step]) -> list[list[str]]:
        heard = Player({name: self.broker for name in "ab"}, self.broker, self.vhosts["alone"]).play(steps)
        self.steps += len(heard)
        self.lines += sum(map(len, heard))
        return heard

    def shared(self, steps: list[Step]) -> list[list[str]]:
        """Client a is in one guest, client b in another."""
        where = {"a": self.chain.endpoint(101), "b": self.chain.endpoint(102)}
        return Player(where, self.broker, self.vhosts["shared"]).play(steps)

    def _log(self) -> list[str]:
        log = self.workspace.path / "logs" / "host-proxy.log"
        return log.read_text().splitlines() if log.exists() else []

    def stop(self) -> None:
        """The daemons end in order, no sanitizer has anything to report, and no connection to the broker was lost."""
        self.chain.stop()
        lost = [line for line in self._log() if "broker connection lost" in line]
        assert not lost, f"of all clients: {lost}"
        reports = self.workspace.sanitizer_reports()
        assert not reports, f"a sanitizer reported:\n{reports}"
