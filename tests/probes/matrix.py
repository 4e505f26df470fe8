"""The matrix of direct probes: each from a devbox, and from a pod that no policy holds.

Goes in: a `World`. Comes out: `Verdict`s. A probe that has to be cut is held only if no packet of it was counted behind the policies
while the control's was: a probe that would not have arrived in any case proves nothing.
"""

from typing import NamedTuple

from .counters import Packets, listed, total
from .pods import Pod
from .report import Verdict
from .targets import LINK, Expected, Target, addresses, targets
from .targets6 import targets6
from .world import World


def direct(world: World) -> list[Verdict]:
    """Every direct probe."""
    chosen = [*targets(world), *targets6(world)]
    probes = [{"name": one.name, **one.probe} for one in chosen]
    world.prove(addresses(chosen), world.devbox.addresses)
    counters = world.sinkhole.counters
    counters.reset()
    seen = world.devbox.run(probes)
    sources = _sources(world.devbox, chosen)
    after = [one for one in counters.node() if one.source in sources]
    outside = [one for one in counters.sinkhole() if one.source in sources]
    counters.reset()
    control = world.control.run(probes)
    sources = _sources(world.control, chosen)
    arrived = Arrived(*([one for one in rows if one.source in sources] for rows in (counters.node(), counters.tried())))
    own = world.devbox.addresses | world.control.addresses
    verdicts = [_judge(one, (seen[one.name], control[one.name]), after, arrived, own) for one in chosen]
    return [*verdicts, _nothing_else(world, after, outside, chosen), nothing_escaped(world)]


class Arrived(NamedTuple):
    """What was counted of the control."""

    passed: list[Packets]
    """Behind the filters."""
    tried: list[Packets]
    """In front of them; without ports."""


def _judge(target: Target, words: tuple[str, str], after: list[Packets], arrived: Arrived, own: set[str]) -> Verdict:
    seen, control = words

    def here(packets: Packets) -> bool:
        if target.arrives is None:
            return False
        to, protocol, port = target.arrives
        return from_there(packets) and packets.destination in to and (packets.protocol, packets.port) == (protocol, port)

    def from_there(packets: Packets) -> bool:
        """(The same place is probed from several addresses.)"""
        if target.source == LINK:
            return packets.source.startswith(LINK)
        return packets.source == target.source if target.source else packets.source in own

    def tried(packets: Packets) -> bool:
        to, protocol, _ = target.arrives or ((), "", 0)
        return from_there(packets) and packets.destination in to and packets.protocol == protocol

    mine, theirs = total(after, here), total(arrived.passed, here)
    held: bool | None
    match target.expected:
        case Expected.CUT:
            held = mine == 0 and theirs > 0 and seen != "answered"
        case Expected.CNI | Expected.RUNTIME:
            held = None
        case Expected.OPEN:
            held = seen == "answered" and control == "answered"
        case Expected.FORBIDDEN:
            held = seen == "not permitted" and mine == 0 and control in ("sent", "opened")
        case Expected.NOWHERE:
            held = seen == "no route" and control == "no route" and mine == 0
        case Expected.OWN:
            held = seen == control and mine == 0
        case Expected.NEVER:
            sent = total(arrived.tried, tried)
            held = mine == theirs == 0 and sent > 0 and "answered" not in words
            control += f"; {sent} tried"
    return Verdict(target.name, target.expected.value, f"{seen}; {mine} packets", f"{control}; {theirs} packets", held)


def _sources(pod: Pod, chosen: list[Target]) -> set[str]:
    """Where its packets may come from. (The pods whose addresses it takes in vain are silent meanwhile, but for the node.)"""
    link = pod.link_local()
    return pod.addresses | ({link} if link else set()) | {one.source for one in chosen if one.source not in ("", LINK)}


def _nothing_else(world: World, after: list[Packets], outside: list[Packets], chosen: list[Target]) -> Verdict:
    """The sum over everything that was counted, so that no packet hides behind a probe's key."""
    leaks = world.leaks({one.source for one in after}, after)
    shown = f"{listed(leaks)}; in the sinkhole: {sum(one.number for one in outside)}"
    held = not leaks and not outside
    return Verdict(f"all {len(chosen)} probes together", "0 packets to anything but the gateway's ports", shown, "", held)


def nothing_escaped(world: World) -> Verdict:
    """No packet of any pod, the gateway's included, was on its way out of the machine since the sinkhole opened."""
    escaped = world.sinkhole.escaped
    return Verdict("the machine's own door", "no pod's packet was on its way out", f"{escaped} packets", "", escaped == 0)
