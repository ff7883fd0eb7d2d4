# SPDX-License-Identifier: Apache-2.0
"""The base of the integration tests: a broker, the chain, and what every test must leave behind."""
import logging
import os
import re
import signal
import sys
import unittest
from typing import Optional, Sequence

import pika

from .chain import CHAINS, Chain, DirectChain, Endpoint, NoChain, check_programs, mode
from .rabbitmq import Broker, NodeRef, shared_node
from .workspace import Workspace, end_on_signals

# pika tells of every connection that was refused on purpose.
logging.getLogger("pika").setLevel(logging.CRITICAL)


class TookTooLong(Exception):
    """Not a TimeoutError: no test may take it for the one that it expects."""


def _too_long(_number, _frame):
    raise TookTooLong


class IntegrationTest(unittest.TestCase):
    """One workspace, vhost and chain for all tests of a class.

    A class may set the arguments of the daemons, or `own_broker` when it stops or configures the
    broker. When a test fails the daemons' logs are shown. At the end of the class the daemons must
    end by SIGTERM with exit code 0, and no sanitizer may have reported anything.
    """
    seconds = 240  # one test may take this long; then it fails where it stands
    through_proxies = False  # set by classes that look at the daemons themselves
    tunnel_only = ""  # why a class makes no sense in direct mode
    own_broker = False
    broker_settings = ""
    guests = (101, 102)
    amqp_args: tuple = ()
    host_args: tuple = ()
    guest_args: tuple = ()

    workspace: Workspace
    node: NodeRef
    chain: Chain  # or NoChain

    # --- what a class owns

    @classmethod
    def setUpClass(cls) -> None:
        if (cls.through_proxies or cls.tunnel_only) and mode() == NoChain.mode:
            raise unittest.SkipTest("is about the daemons")
        if cls.tunnel_only and mode() == DirectChain.mode:
            raise unittest.SkipTest(cls.tunnel_only)
        check_programs()
        cls.workspace = Workspace()
        cls.addClassCleanup(cls.workspace.close)
        cls.failed = False
        try:
            cls.node = cls._broker()
            cls.vhost = re.sub(r"\W", "-", f"{cls.__name__}-{os.getpid()}").lower()
            cls.node.add_vhost(cls.vhost)
            cls.addClassCleanup(cls._delete_vhost)
            cls.chain = cls.make_chain()
        except BaseException:
            cls.workspace.show_logs()
            raise

    @classmethod
    def _broker(cls) -> NodeRef:
        shared = None if cls.own_broker else shared_node()
        return shared or Broker(cls.workspace, settings=cls.broker_settings).start().node

    @classmethod
    def _delete_vhost(cls) -> None:
        if not cls.own_broker:
            cls.node.delete_vhost(cls.vhost)

    @classmethod
    def make_chain(cls):
        """Starts what is between clients and broker; a class may do it differently."""
        broker = Endpoint(cls.node.host, cls.node.port)
        if mode() == NoChain.mode:
            return NoChain(broker)
        return cls.new_chain([broker]).start()

    @classmethod
    def new_chain(cls, brokers: Optional[Sequence[Endpoint]] = None, **arguments) -> Chain:
        """The daemons of this run's mode, not started yet; `arguments` are Chain's, otherwise the class's."""
        brokers = brokers or [Endpoint(cls.node.host, cls.node.port)]
        given = {"guests": cls.guests, "amqp_args": cls.amqp_args, "host_args": cls.host_args,
                 "guest_args": cls.guest_args, **arguments}
        return CHAINS[mode()](cls.workspace, brokers, **given)

    @classmethod
    def tearDownClass(cls) -> None:
        try:
            cls.chain.stop()
            reports = cls.workspace.sanitizer_reports()
            assert not reports, f"a sanitizer reported:\n{reports}"
        except BaseException:
            cls.failed = True
            raise
        finally:
            if cls.failed:
                cls.workspace.show_logs()

    def run(self, result=None):
        signal.signal(signal.SIGALRM, _too_long)
        signal.alarm(self.seconds)
        before = (len(result.failures), len(result.errors)) if result is not None else None
        done = super().run(result)
        if result is not None and before != (len(result.failures), len(result.errors)):
            type(self).failed = True
        signal.alarm(0)
        return done

    # --- clients

    def parameters(self, guest: int = 101, user: str = "guest", password: str = "guest", **options):
        """pika's parameters for a client in that guest."""
        host, port = self.chain.endpoint(guest)
        options.setdefault("blocked_connection_timeout", 60)
        options.setdefault("socket_timeout", 20)
        options.setdefault("stack_timeout", 30)
        options.setdefault("heartbeat", 60)
        return pika.ConnectionParameters(host=host, port=port, virtual_host=self.vhost,
                                         credentials=pika.PlainCredentials(user, password), **options)

    def connect(self, guest: int = 101, **options) -> pika.BlockingConnection:
        """A connection that is closed when the test ends, if it still is open then."""
        connection = pika.BlockingConnection(self.parameters(guest, **options))
        self.addCleanup(lambda: connection.is_open and connection.close())
        return connection

    def channel(self, guest: int = 101, confirm: bool = False, **options):
        """A channel on a connection of its own."""
        channel = self.connect(guest, **options).channel()
        if confirm:
            channel.confirm_delivery()
        return channel

    def broker_connections(self, *columns: str) -> list[dict]:
        """This class's connections as the broker sees them."""
        return self.node.connections(*columns, vhost=self.vhost)


def main() -> None:
    """Runs the test program: like unittest.main, and ends in order when it is told to."""
    end_on_signals()
    sys.stdout.reconfigure(line_buffering=True)
    unittest.main(verbosity=2)
