# SPDX-License-Identifier: Apache-2.0
"""Stands between two daemons, passes bytes on, and breaks connections on command.

It has no privileges and changes nothing of the machine: it is the one that a daemon connects to. For the link that is a
TCP port; for guest streams it is a fabric of its own, in which it plays the host, while it is the guest in the real
one.
"""
import asyncio
import fcntl
import os
import random
import select
import socket
import struct
import termios
import threading
from pathlib import Path
from typing import Awaitable, Callable, Optional

CHUNK = 65536
QUIET_S = 0.2  # a cut waits so long, at most, for the byte behind which it comes
UNREAD_S = 0.02  # a reset waits so long for bytes that it can lose
SPREAD_BITS = 17  # cuts come behind up to 2 ** this many bytes

RESET = "reset"  # as by a crash or a firewall: what is on its way is lost
EOF = "eof"  # a close without a word, all before it having arrived
DEAD = "dead"  # silence for ever; neither end is told
DEAF = "deaf"  # as DEAD, but only what the near end says is not heard


def unread(sock: socket.socket) -> int:
    """Bytes that the peer has sent and that were not read yet."""
    return struct.unpack("i", fcntl.ioctl(sock, termios.FIONREAD, bytes(4)))[0]


def hung_up(sock: socket.socket) -> bool:
    """Whether the peer has closed its end."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))


class Pipe:
    """Two connected sockets and what passes between them, until it is cut or both ends have closed."""

    def __init__(self, owner: "Interposer", near: socket.socket, far: socket.socket):
        self.owner, self.sockets = owner, (near, far)
        self.how: Optional[str] = None  # the cut that is to come
        self.left: Optional[int] = None  # bytes that pass before it
        self.over = asyncio.Event()  # it is cut, or closed
        self._end: Optional[asyncio.Task] = None
        self._pumps = [asyncio.create_task(self._pump(near, far)), asyncio.create_task(self._pump(far, near))]
        self._keeper = asyncio.create_task(self._keep())

    def arm(self, how: str, after: int) -> None:
        """Cuts behind so many bytes, or when it is quiet for a while. The first word counts."""
        if self.how is None:
            self.how, self.left = how, after
            asyncio.get_running_loop().call_later(self.owner.rng.uniform(0, QUIET_S), self._fire)
            if after == 0:
                self._fire()

    async def _keep(self) -> None:
        """Closes both sockets when both directions have ended by themselves, or the cut is done."""
        await asyncio.wait(self._pumps)
        if self._end is not None:
            await self._end
        for sock in self.sockets:
            sock.close()
        self.over.set()
        self.owner.pipes.discard(self)

    async def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            await self._pass(source, sink)
        except OSError:
            self.how = self.how or RESET  # one end was reset: so is the other
            self._fire()

    async def _pass(self, source: socket.socket, sink: socket.socket) -> None:
        loop, owner = asyncio.get_running_loop(), self.owner
        while True:
            await owner.flowing.wait()
            data = await loop.sock_recv(source, CHUNK)
            if owner.delay:
                await asyncio.sleep(owner.delay)
            await owner.flowing.wait()
            if not data:
                sink.shutdown(socket.SHUT_WR)
                return
            if self.left is not None and len(data) >= self.left:
                before, data = data[:self.left], data[self.left:]
                await loop.sock_sendall(sink, before)
                self._fire()
                await asyncio.sleep(0)  # where a direction that is cut ends
            await loop.sock_sendall(sink, data)
            if self.left is not None:
                self.left = max(0, self.left - len(data))

    def _fire(self) -> None:
        if self._end is None and not self.over.is_set():
            self.left = None
            for pump in self._pumps[:1 if self.how == DEAF else 2]:
                pump.cancel()
            self._end = asyncio.create_task({RESET: self._reset, EOF: self._eof, DEAD: self._dead,
                                             DEAF: self._dead}[self.how]())

    async def _reset(self) -> None:
        await asyncio.wait(self._pumps)
        if self.sockets[0].family == socket.AF_UNIX:
            await self._await_unread()
        for sock in self.sockets:
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            sock.close()

    async def _await_unread(self) -> None:
        """A Unix socket tells its peer ECONNRESET when it is closed with something left to read."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + UNREAD_S
        while loop.time() < deadline and not all(unread(sock) for sock in self.sockets):
            await asyncio.sleep(0.002)

    async def _eof(self) -> None:
        await asyncio.wait(self._pumps)
        for sock in self.sockets:
            try:
                sock.shutdown(socket.SHUT_WR)
            except OSError:
                pass
        self.over.set()
        drains = [asyncio.create_task(self._drain(sock)) for sock in self.sockets]
        await asyncio.wait(drains, timeout=10)
        for drain in drains:
            drain.cancel()
        await asyncio.wait(drains)

    @staticmethod
    async def _drain(sock: socket.socket) -> None:
        """Reads what still comes, so that the close is no reset."""
        try:
            while await asyncio.get_running_loop().sock_recv(sock, CHUNK):
                pass
        except OSError:
            pass

    async def _dead(self) -> None:
        self.over.set()
        while not all(hung_up(sock) for sock in self.sockets):
            await asyncio.sleep(0.1)
        for pump in self._pumps:
            pump.cancel()


class Interposer:
    """One listening socket and the pipes that began there. All that is public may be called from any thread."""

    def __init__(self, thread: "LoopThread", listener: socket.socket,
                 connect: Callable[[object], Awaitable[socket.socket]], rng: random.Random):
        """`connect` makes the connection onward for a peer of that address. The listener is taken over."""
        self.thread, self.listener, self.connect, self.rng = thread, listener, connect, rng
        self.delay = 0.0  # seconds that every piece is held back
        self.pipes: set[Pipe] = set()
        self.flowing = asyncio.Event()
        self.flowing.set()
        self._coming: list[str] = []  # cuts for pipes that do not exist yet
        listener.setblocking(False)
        self._task = thread.start(self._accept())

    # --- commands

    def cut(self, how: str) -> int:
        """Cuts all pipes, each somewhere in its bytes; returns their number when all are cut."""
        return self.thread.run(self._cut(how))

    def begin_cut(self, how: str) -> None:
        """As cut, without waiting."""
        self.thread.start(self._cut(how))

    def cut_coming(self, how: str, count: int) -> None:
        """Cuts the next `count` pipes soon after their beginning."""
        self.thread.call(self._coming.extend, [how] * count)

    def forget_coming(self) -> None:
        self.thread.call(self._coming.clear)

    def hold(self) -> None:
        """Black hole: connections stay, new ones seem to succeed, and nothing passes."""
        self.thread.call(self.flowing.clear)

    def release(self) -> None:
        """What was held passes now."""
        self.thread.call(self.flowing.set)

    # --- the loop's side

    def _behind(self) -> int:
        """Behind how many bytes to cut: small numbers as likely as large ones."""
        return int(2 ** self.rng.uniform(0, SPREAD_BITS))

    async def _cut(self, how: str) -> int:
        pipes = [pipe for pipe in self.pipes if not pipe.over.is_set()]
        for pipe in pipes:
            pipe.arm(how, self._behind())
        for pipe in pipes:
            await pipe.over.wait()
        return len(pipes)

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.flowing.wait()
            near, address = await loop.sock_accept(self.listener)
            await self.flowing.wait()
            loop.create_task(self._join(near, address))

    async def _join(self, near: socket.socket, address) -> None:
        try:
            far = await self.connect(address)
        except OSError:
            near.close()
            return
        pipe = Pipe(self, near, far)
        self.pipes.add(pipe)
        if self._coming:
            pipe.arm(self._coming.pop(), self._behind())


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self):
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def start(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def run(self, coroutine, timeout: float = 60):
        return self.start(coroutine).result(timeout)

    def call(self, function, *arguments) -> None:
        """Calls it in the loop, and returns when it has returned."""
        async def once():
            function(*arguments)
        self.run(once())

    def close(self) -> None:
        """Ends all that runs in the loop, and the thread."""
        async def end() -> None:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


# --- where interposers stand

def on_link(thread: LoopThread, target: tuple, rng: random.Random) -> tuple[Interposer, tuple]:
    """Between host-proxy and amqp-proxy. Returns the interposer and the address for host-proxy."""
    listener = socket.create_server(("127.0.0.1", 0))

    async def connect(_address) -> socket.socket:
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            await asyncio.get_running_loop().sock_connect(sock, target)
        except OSError:
            sock.close()
            raise
        return sock
    return Interposer(thread, listener, connect, rng), listener.getsockname()


def on_fabric(thread: LoopThread, fabric: Path, real: Path, port: int, rng: random.Random) -> Interposer:
    """Between guests that live in `fabric` and the host that listens in the real one: each keeps its CID."""
    host = fabric / "2"
    host.mkdir(mode=0o711, parents=True)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(host / f"{port}.stream"))
    listener.listen(1024)

    async def connect(address) -> socket.socket:
        cid, name = Path(address).parts[-2:]
        folder = real / cid
        folder.mkdir(mode=0o711, exist_ok=True)
        sock = socket.socket(socket.AF_UNIX)
        sock.setblocking(False)
        try:
            sock.bind(str(folder / name))
            try:
                sock.connect(str(real / "2" / f"{port}.stream"))
            finally:
                os.unlink(folder / name)
        except OSError:
            sock.close()
            raise
        return sock
    return Interposer(thread, listener, connect, rng)
