# SPDX-License-Identifier: Apache-2.0
"""Small network pieces for tests: who is connected to whom, a counting forwarder, an echo server."""
import os
import select
import socket
import threading
from pathlib import Path
from typing import Optional

from .chain import Endpoint
from .ports import free_port

ESTABLISHED = "01"


def established_to(port: int, pid: Optional[int] = None) -> int:
    """How many established IPv4 connections lead to that port, counted at the connecting end: those of one process, or
    of the machine."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in list(table)[1:]]
    own = None if pid is None else sockets_of(pid)
    return sum(row[3] == ESTABLISHED and int(row[2].rsplit(":", 1)[1], 16) == port and (own is None or row[9] in own)
               for row in rows)


def sockets_of(pid: int) -> set[str]:
    """The inodes of the sockets that a process has open."""
    found = set()
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = os.readlink(entry)
        except FileNotFoundError:
            continue  # closed meanwhile
        if target.startswith("socket:["):
            found.add(target[len("socket:["):-1])
    return found


class Server:
    """A listening loopback socket whose connections are each served by a thread. Leave it by `with`."""

    def __init__(self, port: Optional[int] = None):
        self.endpoint = Endpoint("127.0.0.1", port or free_port())
        self.accepted = 0
        self.listener = socket.create_server(self.endpoint)
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._open: set[socket.socket] = set()
        self._threads[0].start()

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self) -> None:
        """Idempotent."""
        if self._stop.is_set():
            return
        self._stop.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.drop()
        for thread in self._threads:
            thread.join(5)

    def connected(self) -> int:
        """How many connections there are at present."""
        return len(self._open)

    def drop(self) -> None:
        """Ends all present connections."""
        for sock in list(self._open):
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                sock, _address = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            thread = threading.Thread(target=self._serve_one, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve_one(self, sock: socket.socket) -> None:
        self._open.add(sock)
        try:
            with sock:
                self.serve(sock)
        except OSError:
            pass
        finally:
            self._open.discard(sock)

    def serve(self, sock: socket.socket) -> None:
        """What is done with a connection; it is closed on return."""
        raise NotImplementedError


class Echo(Server):
    """Greets, sends back all it gets, and after the client's end of data says goodbye."""
    GREETING, GOODBYE = b"hello\n", b"goodbye\n"

    def serve(self, sock: socket.socket) -> None:
        sock.sendall(self.GREETING)
        while data := sock.recv(65536):
            sock.sendall(data)
        sock.sendall(self.GOODBYE)


class Silent(Server):
    """Accepts connections and says nothing, as the node of a suspended machine does."""

    def serve(self, sock: socket.socket) -> None:
        while sock.recv(1024):
            pass


class Babbler(Server):
    """Answers with something that no client of ours speaks."""

    def __init__(self, words: bytes):
        self.words = words
        super().__init__()

    def serve(self, sock: socket.socket) -> None:
        sock.sendall(self.words)
        while sock.recv(1024):
            pass


class BlackHole:
    """A port to which no connection comes about and which says so to nobody: its backlog is full, and the kernel
    drops what comes. Leave it by `with`."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", free_port()), backlog=0)
        self.endpoint = Endpoint(*self.listener.getsockname())
        self.waiting = []
        while self._takes_one_more():
            pass

    def _takes_one_more(self) -> bool:
        sock = socket.socket()
        self.waiting.append(sock)
        sock.settimeout(0.2)
        try:
            sock.connect(self.endpoint)
        except TimeoutError:
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        self.close()

    def close(self) -> None:
        for sock in [self.listener, *self.waiting]:
            sock.close()


class Forwarder(Server):
    """Passes connections on to another endpoint, and counts them."""

    def __init__(self, target: Endpoint, port: Optional[int] = None):
        self.target = target
        self.frozen = threading.Event()  # while it is set nothing passes either way, and nobody is told
        super().__init__(port)

    def serve(self, sock: socket.socket) -> None:
        with sock, socket.create_connection(self.target) as other:
            peer = {sock: other, other: sock}
            while not self._stop.is_set():
                for ready in select.select([sock, other], [], [], 1)[0]:
                    while self.frozen.is_set() and not self._stop.wait(0.05):
                        pass
                    data = ready.recv(65536)
                    if not data:
                        return
                    peer[ready].sendall(data)
