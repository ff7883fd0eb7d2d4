# SPDX-License-Identifier: Apache-2.0
"""Free TCP ports on the loopback address."""
import random
import socket

# Below the kernel's range of ephemeral ports, so that an outgoing connection cannot take one of
# ours between the moment it is chosen and the moment a server binds it.
FIRST, LAST = 20000, 32000

# Ports of this process. Each comes with a name that the kernel lets only one process bind, and takes back when that
# process ends: so two test programs that run at the same time never choose the same port, be it not bound yet.
_taken: dict[int, int] = {}  # with the descriptor that holds the name


def reserve(port: int) -> bool:
    """Makes the port this process's own; False: another test program has it."""
    token = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        token.bind(f"\0amqp-vsock-test-port-{port}")
    except OSError:
        token.close()
        return False
    _taken[port] = token.detach()
    return True


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
    """A port that was free a moment ago, and that no test program has been given before."""
    for _ in range(1000):
        port = random.randint(FIRST, LAST)
        if port not in _taken and is_free(port) and reserve(port):
            return port
    raise RuntimeError(f"no free port between {FIRST} and {LAST}")
