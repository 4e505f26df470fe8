"""The command `devbox-init`.

Goes in: where the gateway is, what to do where policies are not enforced, and where the workspace is, if there is one. Comes out: exit code
0 once the agent may start, 3 where it may not, since the pod is not confined over some address family, or that can't be seen of one or of a
second device, 4 where it could not write to its workspace; its last
words are in the termination log, where the kubelet, and so the operator, finds them. It waits for as long as the gateway does not
answer: that passes by itself.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .judge import Judge, State, Verdict
from .kernel import families_in_use
from .probe import watch
from .visit import Ports
from .workspace import Writable, look

NOT_ENFORCED: Final = 3
NOT_WRITABLE: Final = 4
FULL: Final = "the workspace is full"
"""In the last words of an init container that lets an agent start in it all the same: nobody else could make room."""
TERMINATION_LOG: Final = Path("/dev/termination-log")


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait for confinement."""
    parser = argparse.ArgumentParser(prog="devbox-init", description="Holds an agent back until its pod is confined.")
    parser.add_argument("--gateway", required=True, help="the gateway's name, as in the hosts file")
    parser.add_argument("--ask-port", type=int, default=3128, help="the forward proxy's, where a gateway says which pod it is")
    parser.add_argument("--data-port", type=int, default=443, help="the port that the pod's NetworkPolicy allows")
    parser.add_argument("--canary-port", type=int, default=8479, help="the port that it does not")
    parser.add_argument(
        "--seconds", type=float, default=30, help="how long the canary may answer, or a family or device not be seen"
    )
    parser.add_argument("--start-anyway", action="store_true", help="end well where policies are not enforced")
    parser.add_argument("--workspace", type=Path, help="a directory that the agent has to be able to write to")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # (As process 1 it would ignore the signal.)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    judge = Judge(options.seconds)
    ports = Ports(options.ask_port, options.data_port, options.canary_port)
    verdict = watch(options.gateway, ports, judge, in_use=families_in_use, say=lambda one: _say(str(one)))
    if verdict.state is State.CONFINED:
        answers = f"over {verdict.over} the gateway answers, and its port that no NetworkPolicy allows does not"
        return _end(f"confined: {answers}", 0, options.workspace, options.termination_log)
    found = trouble(verdict, options.gateway, options.canary_port, options.seconds, start_anyway=options.start_anyway)
    if options.start_anyway:
        return _end(found, 0, options.workspace, options.termination_log)
    return _end(found, NOT_ENFORCED, None, options.termination_log)


def _end(words: str, code: int, workspace: Path | None, log: Path) -> int:
    """The last words, and the exit code; an agent that may start is not started in a workspace that it can't write to."""
    found = look(workspace) if workspace else None
    if found is not None and found.writable is Writable.NO:
        words, code = f"the workspace is not writable: {found.words}", NOT_WRITABLE
    elif found is not None and found.writable is Writable.FULL:
        words = f"{words}; {FULL}: {found.words}"
    _last(words, log)
    return code


def trouble(verdict: Verdict, gateway: str, canary_port: int, seconds: float, *, start_anyway: bool) -> str:
    """Why the pod does not count as confined, and what to do: the operator shows it in the Devbox's status."""
    over = verdict.over
    if verdict.state is State.UNSEEN and verdict.devices:
        found = (
            f"not seen: for {seconds:g} s the pod had addresses on more than one network device, {verdict.on}, and a connection takes one "
            "of them, so that nobody can see whether NetworkPolicies hold on the others; take the second network away from devboxes: "
            "whatever gives it to their pods (a default network of Multus, a webhook, a setting of the CNI such as ENABLE_V4_EGRESS)"
        )
    elif verdict.state is State.UNSEEN:
        found = (
            f"not seen: for {seconds:g} s the pod had an address of {over} and {gateway} none, so that nobody can see whether "
            f"NetworkPolicies hold there; take {over} away from pods, or, where the cluster's Services can have it, give it to the "
            "gateway's (the chart's value service.ipFamilyPolicy=PreferDualStack)"
        )
    else:
        found = (
            f"not enforced: for {seconds:g} s {gateway} answered over {over} on port {canary_port}, which no NetworkPolicy allows: "
            f"the cluster's CNI does not enforce NetworkPolicy for {over}; install a CNI that does"
        )
    if start_anyway:
        return f"{found}. The agent starts all the same: egress.requireEnforcement=false"
    return f"{found}. The agent is not started; the chart's value egress.requireEnforcement=false would start it, unconfined"


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _last(text: str, log: Path) -> None:
    _say(text)
    try:
        log.write_text(text, encoding="utf-8")
    except OSError as error:
        _say(f"{log}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main())
