"""An API server that counts its TokenReviews, and who asks it."""

import asyncio
from typing import Any

from devbox_api.route import Route
from devbox_common.kube import ApiError, Object
from devbox_proxy.known.facts import Known, Pod

from .identities import POD, ROUTE
from .review_answers import answer, status


class Api:
    """In place of KubeApi: answers after a moment, and counts."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked: list[str] = []
        self.at_once = self.most_at_once = 0
        self.away = False
        self.looks = 0
        self.look_error: ApiError | None = None
        """What a look at /livez ends with."""
        self.errors: list[ApiError | Object] = []
        """What the next questions end with."""

    async def request(self, method: str, path: str, *, timeout: float, body: Object | None = None) -> Object:  # noqa: ASYNC109
        if body is None:
            self.looks += 1
            if self.look_error is not None:
                raise self.look_error
            return {}
        self.asked.append(body["spec"]["token"])
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        await asyncio.sleep(self.seconds)
        self.at_once -= 1
        if self.errors:
            error = self.errors.pop(0)
            if isinstance(error, ApiError):
                raise error
            return error
        if self.away:
            raise ApiError(0, "Unreachable", "no answer")
        return answer(status())


def of_pod(number: int) -> Route:
    pod = ROUTE.pod.model_copy(update={"uid": f"uid-{number}"})
    return ROUTE.model_copy(update={"pod": pod})


def world(count: int) -> Known:
    return Known(pods={f"uid-{n}": Pod(f"uid-{n}", *_rest(POD)) for n in range(1, count + 1)})


def _rest(pod: Pod) -> tuple[Any, ...]:
    return (pod.name, pod.namespace, pod.phase, pod.node, pod.ips, pod.deleting, pod.host_network, pod.seen_at)
