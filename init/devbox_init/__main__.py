"""The command `devbox-init`.

Goes in: where the gateway is, and what to do where policies are not enforced. Comes out: exit code 0 once the agent may start, 3
where it may not; its last words are in the termination log, where the kubelet, and so the operator, finds them. It waits for as long
as the gateway does not answer: that passes by itself.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from .judge import Judge, Verdict
from .probe import watch

NOT_ENFORCED: Final = 3
TERMINATION_LOG: Final = Path("/dev/termination-log")


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait for confinement."""
    parser = argparse.ArgumentParser(prog="devbox-init", description="Holds an agent back until its pod is confined.")
    parser.add_argument("--gateway", required=True, help="the gateway's name, as in the hosts file")
    parser.add_argument("--data-port", type=int, default=443, help="the port that the pod's NetworkPolicy allows")
    parser.add_argument("--canary-port", type=int, default=8479, help="the port that it does not")
    parser.add_argument("--seconds", type=float, default=30, help="how long the canary may go on answering")
    parser.add_argument("--start-anyway", action="store_true", help="end well where policies are not enforced")
    parser.add_argument("--termination-log", type=Path, default=TERMINATION_LOG, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    # (As process 1 it would ignore the signal.)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    judge = Judge(options.seconds)
    verdict = watch(options.gateway, options.data_port, options.canary_port, judge, lambda one: _say(one.value))
    if verdict is Verdict.CONFINED:
        _last("confined: the gateway answers, and its port that no NetworkPolicy allows does not", options.termination_log)
        return 0
    found = (
        f"not enforced: for {options.seconds:g} s {options.gateway} answered on port {options.canary_port}, which no NetworkPolicy "
        "allows: the cluster's CNI does not enforce NetworkPolicy"
    )
    if options.start_anyway:
        _last(f"{found}. The agent starts all the same: egress.requireEnforcement=false", options.termination_log)
        return 0
    _last(
        f"{found}. The agent is not started; the chart's value egress.requireEnforcement=false would start it, unconfined",
        options.termination_log,
    )
    return NOT_ENFORCED


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
