# SPDX-License-Identifier: Apache-2.0
"""Private RabbitMQ nodes, with nothing in common with a RabbitMQ that the machine may run.

Each broker has its own Erlang port mapper on a free loopback port, its own cookie, home, node name,
ports and folders. Nothing listens on any other address than loopback.
"""
import json
import os
import secrets
import socket
import subprocess
import time
from pathlib import Path
from typing import Optional

from .ports import free_port
from .process import Process, ProcessFailed
from .workspace import Workspace

# The wrappers in /usr/sbin switch to the user rabbitmq; these run as whoever calls them.
BIN = Path("/usr/lib/rabbitmq/bin")
LOOPBACK_ONLY = "-kernel inet_dist_use_interface {127,0,0,1}"
PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
# Erlang: terms as JSON has them. Tuples become lists, pids and strings what they are in writing.
PLAIN = """Plain = fun Plain(Term) when is_tuple(Term) -> Plain(tuple_to_list(Term));
    Plain(Term) when is_pid(Term) -> list_to_binary(pid_to_list(Term));
    Plain([]) -> [];
    Plain(Term) when is_list(Term) ->
        case io_lib:printable_unicode_list(Term) of
            true -> unicode:characters_to_binary(Term);
            false -> [Plain(Part) || Part <- Term]
        end;
    Plain(Term) -> Term
end"""


def binary(text: str) -> str:
    """The text as Erlang's syntax has binaries."""
    return "<<" + ",".join(str(byte) for byte in text.encode()) + ">>"


def answers_amqp(host: str, port: int, timeout: float = 1) -> bool:
    """Whether an AMQP 0-9-1 server on that port begins a handshake."""
    try:
        with socket.create_connection((host, port), timeout) as sock:
            sock.settimeout(timeout)
            sock.sendall(PROTOCOL_HEADER)
            return sock.recv(1) == b"\x01"  # the method frame with Connection.Start
    except OSError:
        return False


class NodeRef:
    """What one needs to know to use a node: enough to be passed to another process as JSON."""

    def __init__(self, base: str, name: str, epmd_port: int, port: int):
        self.base, self.name, self.epmd_port, self.port = base, name, epmd_port, port
        self.host = "127.0.0.1"

    def environment(self) -> dict:
        return dict(
            os.environ, HOME=self.base, ERL_EPMD_PORT=str(self.epmd_port), ERL_EPMD_ADDRESS="127.0.0.1",
            ERL_INETRC=f"{self.base}/inetrc", ERL_CRASH_DUMP=f"{self.base}/erl_crash.dump",
            RABBITMQ_CONF_ENV_FILE="/dev/null", RABBITMQ_NODENAME=self.name,
            RABBITMQ_CTL_ERL_ARGS=LOOPBACK_ONLY)

    def ctl(self, *words: str, timeout: float = 120) -> str:
        """Runs rabbitmqctl on the node and returns its output; raises when it fails."""
        done = subprocess.run([BIN / "rabbitmqctl", "-q", "-n", self.name, *words], env=self.environment(),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        if done.returncode != 0:
            raise ProcessFailed(f"rabbitmqctl {' '.join(words)}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    def eval(self, expressions: str, timeout: float = 120) -> str:
        """Evaluates Erlang on the node and returns what that prints; raises when it fails. For all that is done often:
        rabbitmqctl takes a second of the processor each time, since it starts an Erlang machine."""
        done = subprocess.run(["erl_call", "-R", "-sname", self.name, "-fetch_stdout", "-e"], env=self.environment(),
                              input=f"{expressions}, io:nl().\n", capture_output=True, text=True, timeout=timeout)
        printed, _newline, result = done.stdout.rpartition("\n")
        if not result.startswith("{ok, "):
            raise ProcessFailed(f"{expressions}\n{done.stdout}{done.stderr}")
        return printed

    def rows(self, *words: str) -> list[dict]:
        """What a list_… command says, a dictionary per row."""
        return json.loads(self.ctl(*words, "--formatter", "json") or "[]")

    def connections(self, *columns: str, vhost: Optional[str] = None) -> list[dict]:
        """The AMQP connections of the node, of one vhost only if it is given. The columns are those of
        `rabbitmqctl list_connections`."""
        return self._infos("rabbit_networking:connection_info_all", "state", *columns, vhost=vhost)

    def channels(self, *columns: str, vhost: Optional[str] = None) -> list[dict]:
        """Their channels, likewise."""
        return self._infos("rabbit_channel:info_all", *columns, vhost=vhost)

    def _infos(self, function: str, *columns: str, vhost: Optional[str]) -> list[dict]:
        items = ", ".join(("vhost", *columns))
        printed = self.eval(f"{PLAIN}, io:put_chars(rabbit_json:encode(Plain({function}([{items}]))))")
        rows = [dict(row) for row in json.loads(printed)]
        return [row for row in rows if vhost is None or row["vhost"] == vhost]

    def queue_homes(self, vhost: str) -> dict[str, str]:
        """Of each queue of the vhost the name of the node on which it, or its leader, was last known to live."""
        printed = self.eval(
            "Home = fun(Q) -> case amqqueue:get_pid(Q) of {_, Node} -> Node; Pid -> node(Pid) end end, "
            "io:put_chars(rabbit_json:encode([[element(4, amqqueue:get_name(Q)), Home(Q)] "
            f"|| Q <- rabbit_amqqueue:list({binary(vhost)})]))")
        return dict(json.loads(printed))

    def close_connections(self, vhost: str, reason: str) -> None:
        """Closes all connections of a vhost, as an operator would."""
        self.eval(f"[ok = rabbit_networking:close_connection(Pid, {binary(reason)}) || [{{vhost, {binary(vhost)}}}, "
                  "{pid, Pid}] <- rabbit_networking:connection_info_all([vhost, pid])]")

    def add_vhost(self, vhost: str, user: str = "guest") -> None:
        """Makes a vhost on which the user may do all."""
        name, who = binary(vhost), binary(user)
        self.eval(f'ok = rabbit_vhost:add({name}, {who}), ok = rabbit_auth_backend_internal:set_permissions('
                  f'{who}, {name}, <<".*">>, <<".*">>, <<".*">>, {who})')

    def delete_vhost(self, vhost: str) -> None:
        self.eval(f'ok = rabbit_vhost:delete({binary(vhost)}, <<"guest">>)')

    def to_json(self) -> dict:
        return {"base": self.base, "name": self.name, "epmd_port": self.epmd_port, "port": self.port}


class Node(NodeRef):
    """A node that runs in this workspace."""

    def __init__(self, workspace: Workspace, base: Path, name: str, epmd_port: int, port: Optional[int] = None):
        super().__init__(str(base), name, epmd_port, port or free_port())
        self.workspace = workspace
        self.dist_port = free_port()
        self.process: Optional[Process] = None

    def launch(self) -> None:
        """Starts the node without waiting for it."""
        short = self.name.split("@")[0]
        folder = Path(self.base) / short
        env = dict(
            self.environment(),
            RABBITMQ_CONFIG_FILE=f"{self.base}/rabbitmq.conf",
            RABBITMQ_ENABLED_PLUGINS_FILE=f"{self.base}/enabled_plugins",
            RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
            RABBITMQ_NODE_PORT=str(self.port),
            RABBITMQ_DIST_PORT=str(self.dist_port),
            RABBITMQ_MNESIA_BASE=f"{folder}/mnesia",
            RABBITMQ_LOG_BASE=f"{folder}/log",
            RABBITMQ_GENERATED_CONFIG_DIR=f"{folder}/config",
            RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=LOOPBACK_ONLY,
            # Makes the script exec the Erlang machine instead of waiting beside it, so that the
            # process we started is the broker; without NOTIFY_SOCKET it has no other effect.
            RUNNING_UNDER_SYSTEMD="true")
        env.pop("NOTIFY_SOCKET", None)
        self.process = self.workspace.start(f"rabbitmq-{short}", [BIN / "rabbitmq-server"], env)

    def wait_ready(self, timeout: float = 240) -> None:
        """Waits until clients are served."""
        deadline = time.monotonic() + timeout
        while not answers_amqp(self.host, self.port):
            if not self.process.running():
                raise ProcessFailed(f"{self.name} ended with {self.process.child.returncode} while starting")
            if time.monotonic() > deadline:
                raise ProcessFailed(f"{self.name} does not serve clients after {timeout} s")
            time.sleep(0.1)

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def stop(self, timeout: float = 120) -> None:
        """Stops the node in order; start() brings it back with what it had."""
        self.process.terminate(timeout)

    def kill(self) -> None:
        """Ends the node as a power failure would."""
        self.process.kill()


class Broker:
    """One node, or a cluster of several, with a port mapper of their own."""

    def __init__(self, workspace: Workspace, nodes: int = 1, settings: str = ""):
        """Prepares the nodes; `settings` is added to their rabbitmq.conf."""
        self.workspace = workspace
        self.base = workspace.path / "rabbitmq"
        self.base.mkdir()
        self.epmd_port = free_port()
        tag = secrets.token_hex(3)
        self.nodes = [Node(workspace, self.base, f"n{i}-{tag}@localhost", self.epmd_port)
                      for i in range(1, nodes + 1)]
        self._write_files(settings)

    @property
    def node(self) -> Node:
        return self.nodes[0]

    def _write_files(self, settings: str) -> None:
        cookie = self.base / ".erlang.cookie"
        cookie.write_text(secrets.token_hex(16))
        cookie.chmod(0o400)
        # Where not even /etc/hosts is set up, as in a fresh chroot, Erlang still finds its own nodes.
        (self.base / "inetrc").write_text('{host, {127,0,0,1}, ["localhost"]}.\n{lookup, [file, native]}.\n')
        (self.base / "enabled_plugins").write_text("[].\n")
        conf = ["disk_free_limit.absolute = 50MB", "log.console = true", "log.file = false"]
        if len(self.nodes) > 1:
            conf.append("cluster_formation.peer_discovery_backend = classic_config")
            conf += [f"cluster_formation.classic_config.nodes.{i} = {node.name}"
                     for i, node in enumerate(self.nodes, 1)]
        (self.base / "rabbitmq.conf").write_text("\n".join(conf) + "\n" + settings)

    def start(self) -> "Broker":
        """Starts the port mapper and all nodes; returns when all serve clients."""
        self.workspace.start("epmd", ["epmd", "-port", self.epmd_port, "-address", "127.0.0.1"])
        for node in self.nodes:
            node.launch()
        for node in self.nodes:
            node.wait_ready()
        if len(self.nodes) > 1:
            self.node.ctl("await_online_nodes", str(len(self.nodes)))
        return self


# --- one broker for many test programs

SHARED_ENV = "AMQPVSOCK_TEST_BROKER"


def shared_node() -> Optional[NodeRef]:
    """The broker that a ctest fixture keeps running (see tests/integration/broker-fixture), if it does."""
    path = os.environ.get(SHARED_ENV)
    if not path or not os.path.exists(path):
        return None
    node = NodeRef(**json.loads(Path(path).read_text())["node"])
    return node if answers_amqp(node.host, node.port) else None
