# SPDX-License-Identifier: Apache-2.0
"""vsock.py COMMAND…: Python's own socket.AF_VSOCK, as the programs of the tests. It knows nothing of the fabric.

  serve PORT COUNT        takes COUNT connections at once; answers each with the SHA-256 of what it read to its end
  ask CID PORT BYTES      sends that many bytes, ends its side, prints the answer
  crowd CID PORT COUNT    COUNT connections open at the same time, each sends a word of its own and reads the answer
  receive PORT COUNT      receives datagrams, sends each back in capitals
  send CID PORT TEXT      sends one datagram, prints the answer
"""
import hashlib
import selectors
import socket
import sys

BLOCK = bytes(range(256)) * 256


def say(*words):
    print(*words, flush=True)


def digest_of(count):
    sum = hashlib.sha256()
    while count > 0:
        sum.update(BLOCK[:count])
        count -= len(BLOCK)
    return sum.hexdigest()


def take(listener, selector):
    stream, peer = listener.accept()
    assert stream.family == socket.AF_VSOCK and stream.getpeername() == peer, peer
    stream.setblocking(False)
    selector.register(stream, selectors.EVENT_READ, (hashlib.sha256(), peer))
    return stream


def read_on(stream, selector, sum, peer):
    """True when that was its end."""
    block = stream.recv(1 << 16)
    if block:
        sum.update(block)
        return False
    selector.unregister(stream)
    stream.setblocking(True)
    stream.sendall(sum.hexdigest().encode() + b"\n")
    stream.close()
    say("from", peer[0])
    return True


def serve(port, count):
    """By epoll (which Python's selectors use). All have come before the first is answered."""
    listener = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    listener.bind((socket.VMADDR_CID_ANY, port))
    listener.listen(count)
    say("at", *listener.getsockname())
    selector = selectors.DefaultSelector()
    for _ in range(count):
        take(listener, selector)
    listener.close()
    while count > 0:
        for key, _ in selector.select():
            count -= read_on(key.fileobj, selector, *key.data)


def ask(cid, port, count):
    stream = socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    stream.settimeout(20)
    stream.connect((cid, port))
    for at in range(0, count, len(BLOCK)):
        stream.sendall(BLOCK[:count - at])
    stream.shutdown(socket.SHUT_WR)
    say(b"".join(iter(lambda: stream.recv(4096), b"")).decode().strip())


def crowd(cid, port, count):
    streams = [socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) for _ in range(count)]
    for stream in streams:
        stream.connect((cid, port))
    ports = {stream.getsockname()[1] for stream in streams}
    assert len(ports) == count and min(ports) >= 1024, ports
    for i, stream in enumerate(streams):
        stream.sendall(b"%d" % i)
        stream.shutdown(socket.SHUT_WR)
    for i, stream in enumerate(streams):
        answer = stream.makefile("rb").read().strip().decode()
        assert answer == hashlib.sha256(b"%d" % i).hexdigest(), (i, answer)
    say("all", count)


def receive(port, count):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_DGRAM) as receiver:
        receiver.bind((socket.VMADDR_CID_ANY, port))
        say("at", *receiver.getsockname())
        for _ in range(count):
            text, peer = receiver.recvfrom(4096)
            say("from", peer[0])
            receiver.sendto(text.upper(), peer)


def send(cid, port, text):
    with socket.socket(socket.AF_VSOCK, socket.SOCK_DGRAM) as sender:
        sender.settimeout(20)
        sender.connect((cid, port))
        sender.send(text.encode())
        say(sender.recv(4096).decode())


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    globals()[command](*(int(word) if word.isdigit() else word for word in arguments))
