"""What must hold after a run: what the case expects, and the invariants I1 to I7 that hold after every one.

Goes in: a `Run`. Comes out: what is wrong with it, as sentences that hold no token and no credential. Pure.
"""

import base64
from typing import Final

from tests.support.recorder import Recorded

from .expect import judge_check
from .lab import REAL
from .run import Run, is_refusal

HOP: Final = ("proxy-authorization", "proxy-connection", "keep-alive", "te", "trailer", "upgrade", "http2-settings", "expect")
_SHOWN: Final = 80


def judge(run: Run) -> list[str]:
    """Everything that is wrong; empty: nothing."""
    wrong = [*run.problems, *_expected(run), *_upstream(run), *_secrets(run), *_pairing(run), *_connections(run)]
    wrong += [said for check in run.case.checks if (said := judge_check(run, check)) is not None]
    return [_without_secrets(run, text) for text in dict.fromkeys(wrong)]


def _expected(run: Run) -> list[str]:
    case, wrong = run.case, []
    if case.status and run.status not in case.status and str(run.status) not in map(str, case.status):
        wrong.append(f"status {run.status}, expected {' or '.join(map(str, case.status))}")
    if case.close and run.ended is None:
        wrong.append("the connection is still open")
    if case.upstream_requests is not None:
        low, high = case.upstream_requests
        if not low <= len(run.requests) <= high:
            wrong.append(f"{len(run.requests)} requests reached the API, expected {low} to {high}")
    if case.group == "connect" and run.status == 200 and case.dials and not run.dials:
        wrong.append("nothing was dialled")
    if case.dials is not None and len(run.dials) + len(run.requests) > case.dials:
        wrong.append(f"dialled {', '.join(run.dials) or 'the API'}, expected {case.dials} dials")
    before = 407 if case.group == "connect" and case.config.get("port") != "data" else 200
    gone = any(isinstance(step, str) and step in ("<FIN>", "<RST>", "<CLOSE>") for step in case.send)
    if run.variant.value == "pipelined" and not gone and (run.first is None or run.first.status != before):
        wrong.append(f"the request before it was not answered with {before}")
    return wrong


def _upstream(run: Run) -> list[str]:
    """I1."""
    wrong = []
    for request in run.requests:
        where = f"the request that reached the API ({_shown(request.raw_head)})"
        wrong += [f"I1: {where}: {problem}" for problem in request.problems]
        if request.head is None:
            continue
        if request.values("host") != [run.values.upstream.encode()]:
            wrong.append(f"I1: {where} has not exactly the endpoint's Host")
        if len(request.values("content-length")) + len(request.values("transfer-encoding")) > 1:
            wrong.append(f"I1: {where} has two framing headers")
        if request.raw_head.count(run.values.real.encode()) != 1:
            count = request.raw_head.count(run.values.real.encode())
            wrong.append(f"I1: {where} holds the credential {count} times")
        if request.values("authorization") != [f"Bearer {run.values.real}".encode()]:
            wrong.append(f"I1: {where} has not exactly the Authorization that belongs to it")
    return wrong


def _secrets(run: Run) -> list[str]:
    """I2 and I3."""
    wrong = []
    real, token = run.values.real.encode(), run.values.token.removeprefix("gws_").encode()
    lines = "".join(run.lines).encode()
    for name, form in (("as it is", real), ("in base64", base64.b64encode(real))):
        if form in run.received:
            wrong.append(f"I2: the client got the credential {name}")
        if form in run.metrics.encode():
            wrong.append(f"I2: the metrics hold the credential {name}")
        if form in lines:
            wrong.append(f"I2: a log line holds the credential {name}")
    if run.values.real.encode() in run.stray:
        wrong.append("I2: the credential went to an address that is not the endpoint's")
    if token in run.wire or token.split(b".")[1] in run.wire:
        wrong.append("I3: the token reached the API")
    if token in lines or token.split(b".")[1] in lines:
        wrong.append("I3: a log line holds the token")
    if token in run.stray:
        wrong.append("I3: the token went to an address that is not the endpoint's")
    return wrong


def _pairing(run: Run) -> list[str]:
    """I4."""
    wrong = []
    passed = [response for response in run.responses if not is_refusal(response)]
    whole = [request for request in run.requests if request.complete]
    if len(whole) > max(len(passed), 1 if run.ended else 0) and not run.facts.get("many"):
        wrong.append(f"I4: {len(whole)} whole requests reached the API for {len(passed)} answers")
    if not run.reflects and not run.facts.get("many"):
        targets = [request.target for request in run.requests]
        for response in passed:
            told = response.head.values("x-target")
            if told and targets and told[0] != targets.pop(0):
                wrong.append("I4: an answer is not the one to its request")
    if run.after and (run.after[-1].status != 200 or run.after[-1].body != b"ok" or not run.after[-1].complete):
        wrong.append(f"I4: the next client's harmless request got {run.after[-1].status}")
    if not run.after and run.after_connection:
        wrong.append("I4: the next client's harmless request got no answer")
    return wrong


def _connections(run: Run) -> list[str]:
    """I5; a 429 is no verdict on the request (relay.outlives()), and a 407 asks for another one (connect.py)."""
    wrong = []
    if run.refusals and run.refusals[0].status not in (407, 429) and run.ended is None and run.case.group != "ssrf":
        wrong.append(f"I5: the connection stays open after a refusal ({run.refusals[0].status})")
    for request in run.requests:
        if request.complete and not broken_answer(run):
            continue
        if request.connection in run.open_upstream:
            wrong.append("I5: the connection of an exchange that failed is still open to the API")
        if run.after_connection == request.connection:
            wrong.append("I5: the connection of an exchange that failed was used again")
    return wrong


def broken_answer(run: Run) -> bool:
    """The API's answer was turned down."""
    return any(response.status >= 500 for response in run.refusals)


def unfinished(run: Run) -> list[Recorded]:
    """Requests that reached the API and did not end."""
    return [request for request in run.requests if not request.complete]


def _shown(raw: bytes) -> str:
    return repr(raw.partition(b"\r\n")[0][:_SHOWN])


def _without_secrets(run: Run, text: str) -> str:
    for secret, name in (
        (run.values.token, "{{TOKEN}}"),
        (run.values.token.removeprefix("gws_"), "{{JWT}}"),
        (run.values.real, "{{REAL}}"),
        (REAL, "{{REAL}}"),
    ):
        text = text.replace(secret, name)
    return text
