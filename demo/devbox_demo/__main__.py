"""`python -m devbox_demo`: set up what is missing, show everything, say what is wrong.

Exit code 0 means that every promise was seen to hold; 1 that one was not, with what a person needs to see.
"""

import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.rule import Rule

from devbox_cluster import cluster, images
from devbox_cluster.paths import kubeconfig
from devbox_cluster.progress import ClusterError
from devbox_gateway import DevboxGatewayError
from devbox_stage import stage, upstream
from devbox_stage.diagnosis import diagnose
from devbox_stage.kubectl import CommandError, Kubectl
from devbox_stage.stage import NAMESPACE, RELEASE_NAMESPACE, Stage
from devbox_stage.upstream import gateway_values
from devbox_stage.waiting import NotYet, TimedOut

from . import attacks, calls, coding, from_python, report, rotation
from .outcome import Outcome
from .report import Clock

app = typer.Typer(add_completion=False)

SETUP_ERRORS = (CommandError, TimedOut, NotYet, DevboxGatewayError)


def set_up(clock: Clock, kubectl: Kubectl) -> Stage:
    """Cluster, images, stand-in, release, examples, keys: what is there already is kept."""
    clock.say("cluster: up")
    cluster.up()
    clock.say("images: build what changed, load what is missing")
    built = images.ensure()
    clock.say("stand-in for api.anthropic.com, api.openai.com and api.internal.example")
    address, ca = upstream.deploy(kubectl, built["demo"])
    clock.say("helm upgrade --install devbox-gateway charts/devbox-gateway")
    # (The image of devboxes that name none, so that what README shows runs here: the product's own takes minutes to build.)
    defaults = {"devboxes": {"defaultImage": images.EXAMPLES_IMAGE}}
    stage.install(kubectl, built["devbox-gateway"], {**gateway_values(address, ca), **defaults})
    clock.say("kubectl apply -f examples/")
    stage.apply_examples(kubectl)
    clock.say("new random keys into the Secrets, their hashes to the stand-in; wait for the devboxes")
    running = upstream.connect(kubectl, address, ca, clock.say)
    running.set_keys([])  # those of an earlier run are good no more
    made = stage.connect(kubectl, running, say=clock.say)
    clock.say(f"devboxes {', '.join(made.pods)} are Ready")
    return made


def show(out: Console, clock: Clock, made: Stage) -> list[Outcome]:
    """Try everything, print each table as soon as it is there."""
    shown: list[Outcome] = []

    def part(heading: str, columns: tuple[str, str], outcomes: Sequence[Outcome]) -> None:
        out.print(report.table(heading, *columns, outcomes))
        shown.extend(outcomes)

    sees = ("what the agent sees", "what the upstream received")
    with ThreadPoolExecutor(1) as pool:
        # The search takes one processor for some seconds; the rest mostly waits for the network meanwhile.
        search = pool.submit(_tried, attacks.key_is_nowhere, made)
        clock.say("an agent at work: curl and four SDKs, three APIs, two customers")
        part("An agent at work", sees, [*_tried(calls.environment, made), *_tried(calls.make_calls, made)])
        if (reference := coding.image(clock.say)) is not None:
            clock.say("two coding agents at work: each runs a command and writes a file")
            part("Coding agents at work", sees, _tried(partial(coding.code, reference=reference), made))
        clock.say("a stream")
        part("A stream", sees, _tried(calls.streamed, made))
        clock.say("the Python client: a gateway, a key, a devbox, a command in it")
        part("From Python", ("what a program sees", "what the upstream received"), _tried(from_python.work_from_python, made))
        clock.say("attacks: the token elsewhere, the API behind the gateway's back, the keys in the pod")
        others = [*_tried(attacks.token_elsewhere, made), *_tried(attacks.behind_the_gateways_back, made)]
        part("An agent gone wrong", ("what it gets", "what the upstream received"), [*search.result(), *others])
    clock.say("a key rotates")
    part("The key rotates", sees, _tried(rotation.rotate, made))
    made.upstream.set_keys(list(made.keys.values()))  # to stay, also if the stand-in restarts
    return shown


def _tried(attempt: Callable[[Stage], Outcome | list[Outcome]], made: Stage) -> list[Outcome]:
    try:
        outcome = attempt(made)
    except (*SETUP_ERRORS, ValueError, IndexError) as error:
        outcome = Outcome(_name(attempt), (), ["-"], ["-"], f"{type(error).__name__}: {error}")
    return outcome if isinstance(outcome, list) else [outcome]


def _name(attempt: Callable[[Stage], Outcome | list[Outcome]]) -> str:
    function = attempt.func if isinstance(attempt, partial) else attempt
    return function.__name__.replace("_", " ")


def _explain(out: Console, kubectl: Kubectl) -> None:
    for title, text in diagnose(kubectl, [NAMESPACE], RELEASE_NAMESPACE):
        out.print(Rule(title, align="left"))
        out.print(text, markup=False, soft_wrap=True)


@app.command()
def demo(
    explain: Annotated[bool, typer.Option(help="On failure, print objects, events and logs.")] = True,
) -> None:
    """Show, on a local Kubernetes, that agents get the use of APIs and never their keys."""
    out = report.console()
    clock, kubectl = Clock(out), Kubectl(kubeconfig())
    try:
        made = set_up(clock, kubectl)
    except ClusterError as error:
        out.print(f"error: {error}", style="red", markup=False)
        sys.exit(1)
    except SETUP_ERRORS as error:
        out.print(f"error: {error}", style="red", markup=False, soft_wrap=True)
        if explain:
            _explain(out, kubectl)
        sys.exit(1)
    outcomes = show(out, clock, made)
    if (panel := report.failures(outcomes)) is not None:
        if explain:
            _explain(out, kubectl)
        out.print(panel)
        sys.exit(1)
    clock.say(f"all {len(outcomes)} promises hold")
    out.print(report.next_steps(NAMESPACE))


if __name__ == "__main__":
    app()
