"""The matrix of direct probes: each from a devbox, and from a pod that no policy holds.

Goes in: a `World`. Comes out: `Verdict`s. A probe that has to be cut is held only if no packet of it was counted behind the policies
while the control's was: a probe that would not have arrived in any case proves nothing. Called by the integration tests and by
__main__.py.
"""

from ipaddress import ip_address

from .counters import Packets, listed, total
from .report import Verdict
from .targets import Expected, Target, targets
from .targets import addresses as probed
from .world import World


def direct(world: World) -> list[Verdict]:
    """Every direct probe."""
    chosen = targets(world)
    probes = [{"name": one.name, **one.probe} for one in chosen]
    world.sinkhole.proof(probed(world), world.devbox.address)
    counters = world.sinkhole.counters
    counters.reset()
    seen = world.devbox.run(probes)
    sources = {world.devbox.address, _plain(world.devbox.link_local())}
    after = [one for one in counters.node() if one.source in sources]
    outside = [one for one in counters.sinkhole() if one.source in sources]
    counters.reset()
    control = world.control.run(probes)
    controls = {world.control.address, _plain(world.control.link_local())}
    arrived = [one for one in counters.node() if one.source in controls]
    link_local = world.control.link_local()
    verdicts = [_judge(one, (seen[one.name], control[one.name]), after, arrived, link_local) for one in chosen]
    return [*verdicts, _nothing_else(world, after, outside, chosen), nothing_escaped(world)]


def _judge(
    target: Target, words: tuple[str, str], after: list[Packets], arrived: list[Packets], link_local: str | None
) -> Verdict:
    seen, control = words

    def here(packets: Packets) -> bool:
        if target.arrives is None:
            return False
        addresses, protocol, port = target.arrives
        return packets.destination in addresses and (packets.protocol, packets.port) == (protocol, port)

    mine, theirs = total(after, here), total(arrived, here)
    held: bool | None
    match target.expected:
        case Expected.CUT if "IPv6" in target.name and link_local is None:
            held = mine == 0 and seen == "no route" and control == "no route"
            return Verdict(
                target.name, "pods have no IPv6 at all", f"{seen}; {mine} packets", f"{control}; {theirs} packets", held
            )
        case Expected.CUT:
            held = mine == 0 and theirs > 0 and seen != "answered"
        case Expected.CNI:
            held = None
        case Expected.OPEN:
            held = seen == "answered" and control == "answered"
        case Expected.FORBIDDEN:
            held = seen == "not permitted" and mine == 0 and control in ("sent", "opened")
        case Expected.NOWHERE:
            held = seen == "no route" and control == "no route" and mine == 0
        case Expected.OWN:
            held = seen == control and mine == 0
    return Verdict(target.name, target.expected.value, f"{seen}; {mine} packets", f"{control}; {theirs} packets", held)


def _plain(address: str | None) -> str:
    return str(ip_address(address)) if address else "none"


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
