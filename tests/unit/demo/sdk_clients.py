"""The real SDKs, led to the stand-in on loopback."""

import anthropic
import openai

from .conftest import Upstream


def anthropic_client(upstream: Upstream, key: str | None = None) -> anthropic.AsyncAnthropic:
    # x-api-key as the real API wants it; what the SDK makes of `api_key` is the gateway's business.
    headers = {"x-api-key": upstream.anthropic.value.reveal() if key is None else key, "Authorization": anthropic.Omit()}
    return anthropic.AsyncAnthropic(
        api_key="unused",
        http_client=upstream.http(),
        max_retries=0,
        default_headers=headers,  # type: ignore[arg-type]
    )


def openai_client(upstream: Upstream, key: str | None = None) -> openai.AsyncOpenAI:
    api_key = upstream.openai.value.reveal() if key is None else key
    return openai.AsyncOpenAI(api_key=api_key, http_client=upstream.http(), max_retries=0)
