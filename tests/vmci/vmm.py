# SPDX-License-Identifier: Apache-2.0
"""A double of a VMM whose vsock ends in Unix sockets, in the manner of Firecracker and Cloud Hypervisor.

It has the socket PATH, where the host asks for guest's ports, and connects to PATH_PORT for its guest.
"""
import socket
import threading
import time

PAUSE_S = 0.05


class Vmm:
    """Each stream that comes in at PATH is given to `guest`, with the port asked for, when its line has come."""

    def __init__(self, path, guest):
        self.path = path
        self.guest = guest
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _serve(self):
        try:
            while True:
                threading.Thread(target=self._take, args=(self.listener.accept()[0],), daemon=True).start()
        except OSError:
            pass

    def _take(self, stream):
        with stream:
            words = self._line(stream).split()
            if len(words) == 2 and words[0] == b"CONNECT":
                self.guest(stream, int(words[1]))

    @staticmethod
    def _line(stream):
        """To the end of the line, and not a byte more."""
        line = b""
        while not line.endswith(b"\n"):
            byte = stream.recv(1)
            if not byte:
                return b""
            line += byte
        return line

    def connect(self, port):
        """The guest connects to that port of the host: nothing is said before its bytes."""
        stream = socket.socket(socket.AF_UNIX)
        stream.settimeout(20)
        try:
            stream.connect(f"{self.path}_{port}")
        except OSError:
            stream.close()
            raise
        return stream


def read_all(stream):
    return b"".join(iter(lambda: stream.recv(1 << 16), b""))


def answers_at_once(stream, port):
    """Firecracker: OK, and the guest's echo with its port before it."""
    stream.sendall(b"OK 1073741824\n")
    stream.sendall(b"%d:" % port + read_all(stream))


def answers_late_in_pieces(stream, port):
    """Cloud Hypervisor: the OK after a while, cut anywhere, the guest's first bytes in the same piece as its end."""
    for piece in (b"O", b"K 10737", b"41824\n%d" % port, b":"):
        time.sleep(PAUSE_S)
        stream.sendall(piece)
    stream.sendall(read_all(stream))


def closes_without_a_word(_stream, _port):
    """Nobody listens in the guest."""
    time.sleep(PAUSE_S)


def closes_within_the_answer(stream, _port):
    stream.sendall(b"OK 10")
    time.sleep(PAUSE_S)


def says_something_else(stream, _port):
    stream.sendall(b"NO\n")
    time.sleep(PAUSE_S)
