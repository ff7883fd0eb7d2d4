# SPDX-License-Identifier: Apache-2.0
"""The kinds of breaks. Each function makes one, and returns when the break itself is over."""
import signal
import time
from typing import Callable, NamedTuple

from .interposer import DEAD, DEAF, EOF, RESET
from .stand import BROKEN_GUEST, Pace, Stand

SHORT_S = 0.3  # a pause within breaks is shorter


def pause(stand: Stand, longest: float = SHORT_S) -> None:
    time.sleep(stand.rng.uniform(0, longest))


# --- guest streams

def stream_reset(stand: Stand) -> None:
    stand.streams.cut(RESET)


def stream_eof(stand: Stand) -> None:
    stand.streams.cut(EOF)


def stream_dead(stand: Stand) -> None:
    stand.streams.cut(DEAD)


def stream_deaf(stand: Stand) -> None:
    stand.streams.cut(DEAF)


def stream_replay(stand: Stand) -> None:
    """Reset, and several times again while the sessions catch up, which a slow transport makes take longer."""
    how = stand.rng.choice([RESET, EOF])
    stand.streams.delay = stand.rng.choice([0, 0.002, 0.01])
    stand.streams.cut_coming(how, len(stand.streams.pipes) * stand.rng.randint(1, 3))
    stand.streams.cut(RESET)
    time.sleep(3 * SHORT_S)
    stand.streams.forget_coming()
    stand.streams.delay = 0


def stream_hole(stand: Stand) -> None:
    """For longer than client and broker would wait for each other's heartbeats."""
    stand.streams.hold()
    time.sleep(stand.pace.away_s)
    stand.streams.release()


def guest_stop(stand: Stand) -> None:
    """Suspends guest-proxy and its clients. Streams may be gone when they go on, or silently dead."""
    processes = [stand.chain.guests[BROKEN_GUEST].process, stand.loads[BROKEN_GUEST].process]
    for process in processes:
        process.signal(signal.SIGSTOP)
    how = stand.rng.choice([None, RESET, DEAD])
    if how:
        stand.streams.cut(how)
    time.sleep(stand.pace.hole_s)
    for process in reversed(processes):
        process.signal(signal.SIGCONT)


# --- the link

def link_reset(stand: Stand) -> None:
    stand.link.cut(RESET)


def link_eof(stand: Stand) -> None:
    stand.link.cut(EOF)


def link_hole(stand: Stand) -> None:
    stand.link.hold()
    time.sleep(stand.pace.hole_s)
    stand.link.release()


# --- host-proxy

def host_kill(stand: Stand) -> None:
    stand.chain.host.kill()
    pause(stand)
    stand.chain.start_host()


def host_drain(stand: Stand) -> None:
    code = stand.chain.host.terminate()
    assert code == 0, f"host-proxy ended with {code} on SIGTERM"
    stand.chain.start_host()


def host_away(stand: Stand) -> None:
    """For longer than client and broker would wait for each other's heartbeats."""
    stand.chain.host.kill()
    time.sleep(stand.pace.away_s)
    stand.chain.start_host()


# --- several

def together(stand: Stand) -> None:
    """Several at once or shortly after one another, and again while the sessions catch up."""
    begin = [lambda: stand.streams.begin_cut(RESET), lambda: stand.streams.begin_cut(EOF),
             lambda: stand.streams.begin_cut(DEAD)]
    if stand.has_link:
        begin += [lambda: stand.link.begin_cut(RESET), lambda: stand.link.begin_cut(EOF), lambda: host_kill(stand),
                  lambda: host_drain(stand)]
    slowed = stand.link if stand.has_link else stand.streams
    slowed.delay = stand.rng.choice([0, 0.005])
    for turn in range(stand.rng.randint(1, 3)):
        for act in stand.rng.sample(begin, 3):
            act()
            pause(stand, 0.05)
        pause(stand)
    time.sleep(SHORT_S)  # the last cut comes within its time
    slowed.delay = 0


class Kind(NamedTuple):
    """A row of the table."""
    name: str
    make: Callable[[Stand], None]
    text: str
    rounds: int  # in the quick form
    detaches: bool = True  # sessions must notice, or the break was none
    weight: int = 10  # how often the soak takes it
    heartbeats: bool = False  # clients and broker watch each other
    direct: bool = True  # sessions outlive it in direct mode too

    def load(self, pace: Pace) -> dict:
        """Options of the clients. Nobody is in a handshake, which has a time limit of its own, while heartbeats are
        what is looked at."""
        return {"heartbeat": pace.heartbeat_s, "visitors": 0} if self.heartbeats else {}


KINDS = [
    Kind("stream-reset", stream_reset, "guest streams reset", 6),
    Kind("stream-eof", stream_eof, "guest streams end with a clean EOF that is not a FIN", 6),
    Kind("stream-dead", stream_dead, "guest streams go silent", 1, weight=2),
    Kind("stream-deaf", stream_deaf, "guest streams go silent in the guest's direction only", 1, weight=1),
    Kind("stream-replay", stream_replay, "guest streams reset again during the replay", 3),
    Kind("stream-hole", stream_hole, "guest streams black-holed for longer than heartbeats allow", 1, weight=1,
         heartbeats=True),
    Kind("link-reset", link_reset, "link reset", 6, direct=False),
    Kind("link-eof", link_eof, "link ends with a clean EOF", 6, direct=False),
    Kind("link-hole", link_hole, "link black-holed", 1, weight=1, direct=False),
    Kind("host-kill", host_kill, "host-proxy killed and started again", 4, direct=False),
    Kind("host-drain", host_drain, "host-proxy drained and replaced", 4, direct=False),
    Kind("host-away", host_away, "host-proxy away for longer than heartbeats allow", 1, weight=1, heartbeats=True,
         direct=False),
    Kind("guest-stop", guest_stop, "guest suspended and continued", 1, detaches=False, weight=1),
    Kind("together", together, "several at once, and again during the replay", 3),
]


def select(names: str, direct: bool = False) -> list[Kind]:
    """The kinds of a comma-separated list; all of them for an empty one. `direct`: of those for direct mode, where
    there is no link, and sessions end with host-proxy."""
    known = {kind.name: kind for kind in KINDS if kind.direct or not direct}
    return [known[name] for name in names.split(",")] if names else list(known.values())
