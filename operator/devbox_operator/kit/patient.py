"""An API server that is busy is asked again before a whole pass is given up.

Goes in: requests. Comes out: as `KubeApi` has it. A pass is a dozen requests: where one in three fails, a pass that begins anew each
time would hardly ever come to its end. What was surely not done (429) is asked again whatever it was, else only what stores nothing:
reads and TokenRequests. Used in place of KubeApi by run.py; writer.py sees to it that a write does not outlive the Lease.
"""

import asyncio
import random
from typing import Any, Final

from devbox_common.answers import Answer
from devbox_common.kube import ApiError, KubeApi

PAUSES: Final = (0.1, 0.3, 1.0)
LONGEST: Final = 3.0
"""Of a Retry-After, in seconds; the queue's own back-off is for more."""


class PatientApi(KubeApi):
    """KubeApi that tries a few times."""

    async def exchange(self, method: str, path: str, **options: Any) -> Answer:
        """Send one request, and again after a pause where that is right. `may_send()` is asked each time. Raises as KubeApi's."""
        harmless = method == "GET" or path.endswith("/token")
        for pause in PAUSES:
            try:
                return await super().exchange(method, path, **options)
            except ApiError as error:
                if error.status != 429 and not (error.status >= 500 and harmless):
                    raise
                wanted = min(error.retry_after or 0.0, LONGEST)
            await asyncio.sleep(max(wanted, pause) * random.uniform(1.0, 1.3))  # noqa: S311 (jitter)
        return await super().exchange(method, path, **options)
