# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on the loopback address."""
import random
import socket

# Below the kernel's range of ephemeral ports, so that an outgoing connection cannot take one of
# ours between the moment it is chosen and the moment a server binds it.
FIRST, LAST = 20000, 32000

_taken: set[int] = set()


def is_free(port: int) -> bool:
    """Whether a server could bind this port on 127.0.0.1 and on ::1 now."""
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            probe = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue  # a machine without IPv6
        with probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((address, port))
            except OSError as error:
                if family == socket.AF_INET or error.errno == 98:
                    return False
    return True


def free_port() -> int:
    """A port that was free a moment ago and that this process has not handed out before."""
    for _ in range(1000):
        port = random.randint(FIRST, LAST)
        if port not in _taken and is_free(port):
            _taken.add(port)
            return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")
