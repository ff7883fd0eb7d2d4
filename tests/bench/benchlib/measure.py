# SPDX-License-Identifier: Apache-2.0
"""The measurements. Each takes the lab and a running contender and returns one value per figure."""
import time
from typing import Callable

from harness.paths import program

from . import proc
from .contenders import Contender
from .lab import Lab

MIB, GIB = 2**20, 2**30
BULK_SESSIONS = 8
MESSAGE_SESSIONS = 8
OPENERS = 8
IDLE_SECONDS = 5  # before sessions that were just opened count as idle

Values = dict[str, float]


def _bulk(lab: Lab, contender: Contender, mode: str, sessions: int) -> Values:
    return lab.load(contender, mode, "sink" if mode == "up" else "source", sessions=sessions,
                    seconds=lab.settings.seconds, warmup=lab.settings.warmup_seconds)


def bulk(lab: Lab, contender: Contender) -> Values:
    """Throughput of one session and of several, each way, and what the several cost."""
    figures = {f"bulk_{mode}_1": _bulk(lab, contender, mode, 1)["bytes_per_s"] / MIB for mode in ("up", "down")}
    proxies, ends = lab.proxies_cpu(contender), lab.ends_cpu()
    clients = moved = 0.0
    for mode in ("up", "down"):
        run = _bulk(lab, contender, mode, BULK_SESSIONS)
        figures[f"bulk_{mode}_{BULK_SESSIONS}"] = run["bytes_per_s"] / MIB
        clients += run["cpu_s"]
        moved += run["bytes"] / GIB
    proxies, ends = lab.proxies_cpu(contender) - proxies, lab.ends_cpu() - ends
    figures["cpu_gib"] = (proxies + ends + clients) / moved
    figures["cpu_gib_proxies"] = proxies / moved
    return figures


def _round_trips(lab: Lab, contender: Contender, when: str) -> Values:
    run = lab.load(contender, "rtt", "echo", seconds=lab.settings.seconds, samples=lab.settings.samples)
    return {f"rtt_{when}_p50": run["p50_us"], f"rtt_{when}_p99": run["p99_us"]}


def rtt(lab: Lab, contender: Contender) -> Values:
    """Round trip of a message when nothing else goes on."""
    return _round_trips(lab, contender, "idle")


def busy(lab: Lab, contender: Contender) -> Values:
    """Round trip of a message beside bulk sessions, half of them each way."""
    each_way = BULK_SESSIONS // 2
    bulks = [lab.command(contender, mode, service, sessions=each_way, seconds=600)
             for mode, service in (("up", "sink"), ("down", "source"))]
    with lab.background(contender, *bulks):
        return _round_trips(lab, contender, "busy")


def messages(lab: Lab, contender: Contender) -> Values:
    """What messages cost, sent to and fro on several sessions at once. Each direction counts as a message."""
    proxies, ends = lab.proxies_cpu(contender), lab.ends_cpu()
    run = lab.load(contender, "rtt", "echo", sessions=MESSAGE_SESSIONS, seconds=lab.settings.seconds,
                   samples=100 * lab.settings.samples)
    proxies, ends = lab.proxies_cpu(contender) - proxies, lab.ends_cpu() - ends
    millions = 2 * run["round_trips"] / 1e6
    return {"messages": 2 * run["round_trips_per_s"], "cpu_message": (proxies + ends + run["cpu_s"]) / millions,
            "cpu_message_proxies": proxies / millions}


def sessions(lab: Lab, contender: Contender) -> Values:
    """How fast sessions can be opened, used for a byte and closed."""
    run = lab.load(contender, "open", "echo", sessions=OPENERS, seconds=lab.settings.seconds)
    return {"opened": run["opened_per_s"]}


def idle_sessions(lab: Lab, contender: Contender) -> int:
    return min(lab.settings.idle_sessions, contender.most_idle_sessions)


def memory(lab: Lab, contender: Contender) -> Values:
    """Resident memory for each idle session, by hop. On an instance of its own: what a process has used
    before, it may use again, and would seem to need nothing."""
    fresh = lab.start(type(contender)(contender.sessions))
    try:
        count = idle_sessions(lab, contender)
        roots = [[process.pid for process in hop] for hop in fresh.hops]
        before = [proc.memory_bytes(pids) for pids in roots]
        with lab.held(fresh, count):
            time.sleep(min(IDLE_SECONDS, 5 * lab.settings.seconds))
            after = [proc.memory_bytes(pids) for pids in roots]
    finally:
        fresh.stop()
    return {f"memory_{i}": (end - begin) / count / 1024 for i, (begin, end) in enumerate(zip(before, after), 1)}


def amqp(lab: Lab, contender: Contender) -> Values:
    """Messages through a broker, published with confirms and consumed with acknowledgements."""
    lab.reaches_broker(contender)
    run = lab.run(contender, [str(program("bench-amqp")), "--target", contender.at["amqp"],
                              "--messages", str(lab.settings.amqp_messages)])
    return {"amqp": run["messages_per_s"]}


ALL: dict[str, Callable[[Lab, Contender], Values]] = {
    "bulk": bulk, "rtt": rtt, "busy": busy, "messages": messages, "sessions": sessions, "memory": memory,
    "amqp": amqp,
}
ONCE = ("memory",)  # hardly varies, and takes long
