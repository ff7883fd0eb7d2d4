# SPDX-License-Identifier: Apache-2.0
"""The chain under test with interposers in it, in front of a real RabbitMQ.

    load 101 ─► guest-proxy 101 ─► [streams] ─► host-proxy ─► [link] ─► amqp-proxy ─► RabbitMQ
    load 102 ─► guest-proxy 102 ───────────────►┘

Guest 101's streams pass an interposer; guest 102 reaches host-proxy directly. In direct mode there are no
amqp-proxy and no link: host-proxy reaches RabbitMQ itself.
"""
import random
import secrets
import time
from contextlib import ExitStack
from typing import NamedTuple, Sequence

from harness import Broker, Chain, DirectChain, Endpoint, Process, Workspace, shared_node
from harness.chain import CHAINS, GUEST_PORT

from .interposer import LoopThread, on_fabric, on_link
from .load import Account, Load, now_ms

BROKEN_GUEST, OTHER_GUEST = 101, 102


class Pace(NamedTuple):
    """How fast the daemons notice, and how long breaks last."""
    guest_args: Sequence[str]
    host_args: Sequence[str]
    amqp_args: Sequence[str]
    hole_s: float  # a black hole, a suspended guest
    away_s: float  # host-proxy is away: longer than clients' and broker's heartbeats allow
    heartbeat_s: int  # of the clients when host-proxy is away
    patience_s: float  # all sessions must be back by then
    broker: str = ""  # settings of RabbitMQ; any make it a node of our own


QUICK = Pace(
    guest_args=["--ping-interval", "500ms", "--ping-timeout", "1s"],
    host_args=["--ping-interval", "500ms", "--ping-timeout", "1s", "--handshake-timeout", "2s",
               "--guest-idle-timeout", "3s"],
    amqp_args=["--ping-interval", "500ms", "--ping-timeout", "1s"],
    hole_s=2.5, away_s=7, heartbeat_s=2, patience_s=60)

# The daemons as they are by default. RabbitMQ gives a client 10 s for its handshake, and some breaks are longer.
REAL = Pace(guest_args=[], host_args=[], amqp_args=[], hole_s=20, away_s=35, heartbeat_s=5, patience_s=90,
            broker="handshake_timeout = 120000\n")


class Stand:
    """Everything that a campaign needs; leave it by `with`."""

    def __init__(self, pace: Pace, seed: int, mode: str = Chain.mode):
        self.pace, self.rng, self.has_link = pace, random.Random(seed), mode == Chain.mode
        self.vhost = f"fault-{secrets.token_hex(4)}"
        self.loads: dict[int, Load] = {}
        with ExitStack() as cleanup:
            self.workspace = cleanup.enter_context(Workspace("amqp-vsock-fault-"))
            self.thread = LoopThread()
            cleanup.callback(self.thread.close)
            self._start_broker(cleanup)
            self._start_chain()
            self._cleanup = cleanup.pop_all()

    def _start_broker(self, cleanup: ExitStack) -> None:
        shared = None if self.pace.broker else shared_node()
        self.node = shared or Broker(self.workspace, settings=self.pace.broker).start().node
        self.node.add_vhost(self.vhost)
        if shared:
            cleanup.callback(shared.delete_vhost, self.vhost)

    def _start_chain(self) -> None:
        pace = self.pace
        chain = CHAINS[Chain.mode if self.has_link else DirectChain.mode]
        self.chain = chain(self.workspace, [Endpoint(self.node.host, self.node.port)], (BROKEN_GUEST, OTHER_GUEST),
                           pace.amqp_args, pace.host_args, pace.guest_args)
        self.chain.fabric.mkdir()
        if self.has_link:
            self.link, upstream = on_link(self.thread, self.chain.link, self._own_rng())
            self.chain.upstream = Endpoint(*upstream)
        outer = self.workspace.path / "outer"
        self.streams = on_fabric(self.thread, outer, self.chain.fabric, GUEST_PORT, self._own_rng())
        self.chain.guests[BROKEN_GUEST].fabric = outer
        self.chain.start()

    def _own_rng(self) -> random.Random:
        return random.Random(self.rng.random())

    def __enter__(self) -> "Stand":
        return self

    def __exit__(self, kind, error, _traceback) -> None:
        if kind is not None and issubclass(kind, Exception):
            self.workspace.show_logs()
        elif kind is not None:
            print(f"ended by {kind.__name__} {error}")  # a signal, an interrupt: it says nothing of the daemons
        self._cleanup.close()

    def stop(self) -> None:
        """Ends the daemons in order; they must have nothing to complain of."""
        self.check()
        self.chain.stop()
        reports = self.workspace.sanitizer_reports()
        assert not reports, f"a sanitizer reported:\n{reports}"

    # --- load

    def start_loads(self, **options) -> None:
        """Clients in both guests; returns when all of them have done something."""
        began = now_ms()
        for cid, guest in self.chain.guests.items():
            self.loads[cid] = Load(self.workspace, str(cid), guest.endpoint, self.vhost, options)
        self.await_progress(began)

    def await_progress(self, since_ms: int) -> None:
        """Waits until every busy session has done something that was begun after that moment."""
        deadline = time.monotonic() + self.pace.patience_s
        waiting = dict(self.loads)
        while waiting:
            for cid, load in list(waiting.items()):
                self.check()
                account = load.stat(since_ms)
                if account.behind == 0:
                    del waiting[cid]
                elif time.monotonic() > deadline:
                    raise AssertionError(f"guest {cid}: {account.behind} sessions do nothing after "
                                         f"{self.pace.patience_s:.0f} s: {account}")
            time.sleep(0.02)

    def stop_loads(self) -> list[Account]:
        """Ends the clients in order; their accounts."""
        accounts = [load.stop(self.pace.patience_s + 60) for load in self.loads.values()]
        self.loads = {}
        return accounts

    # --- what the daemons say

    def check(self) -> None:
        """All of them must be there, and have found no fault with themselves."""
        reports = self.workspace.sanitizer_reports()
        assert not reports, f"a sanitizer reported:\n{reports}"
        for process in self.chain.processes():
            assert process.running(), f"{process.name} ended with {process.child.returncode}"

    def guest_logs(self) -> list[Process]:
        return [guest.process for guest in self.chain.guests.values()]
