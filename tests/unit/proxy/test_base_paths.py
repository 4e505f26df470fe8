"""Which path an API is asked for: endpoints as people write them, base URLs as clients are given them, what SDKs put behind these."""

from typing import Final

import pytest

from devbox_api.judge.endpoints import base_path, parse_endpoint
from devbox_api.judge.paths import BasePath, join
from devbox_api.judge.rules import allowed, compile_rules
from devbox_api.route import Auth, GatewayDocument, Rule
from devbox_common.redacted import Redacted
from devbox_proxy.decide.injection import prepare
from devbox_proxy.known.apis import compile_gateway
from devbox_proxy.known.credentials import Credential
from devbox_proxy.wire.guard import RequestHead, check
from devbox_proxy.wire.tokens import Found, find

from .whole_token import TOKEN

OPENAI: Final = ("/chat/completions", "/responses", "/models", "/files/f-1/content")
"""What OpenAI's SDKs, LangChain, LiteLLM, LlamaIndex, pydantic-ai and Vercel's @ai-sdk/openai put behind their base URL."""
ANTHROPIC: Final = ("/v1/messages", "/v1/messages/count_tokens", "/v1/models", "/v1/messages/batches/b/results")
"""Anthropic's SDKs, Claude Code, LangChain."""
VERCEL_ANTHROPIC: Final = ("/messages",)
"""@ai-sdk/anthropic, and so opencode."""
GOOGLE: Final = ("/v1beta/models/m:generateContent", "/v1/models", "/v1beta/files/f", "/upload/v1beta/files")
"""google-genai and gemini-cli."""
VERCEL_GOOGLE: Final = ("/models/m:streamGenerateContent",)
"""@ai-sdk/google, and so opencode; LiteLLM."""
AZURE: Final = ("/openai/deployments/d/chat/completions", "/openai/responses", "/openai/realtime")
"""AzureOpenAI of OpenAI's SDKs."""
GROQ: Final = ("/openai/v1/chat/completions", "/openai/v1/models")
"""Groq's SDKs."""
MISTRAL: Final = ("/v1/chat/completions", "/v1/models")
"""Mistral's and Cohere's (v1) SDKs: their base URL holds no path."""

NO_PATH: Final = ("", "/")
V1: Final = (*NO_PATH, "/v1", "/v1/")

TABLE: Final = (
    # endpoint, base URLs behind $NAME_URL, what a client puts behind them, where they all have to come out
    ("https://api.openai.com", V1, OPENAI, "/v1"),
    ("https://api.openai.com/v1", V1, OPENAI, "/v1"),
    ("https://api.openai.com/v1/", V1, OPENAI, "/v1"),
    ("https://api.anthropic.com", NO_PATH, ANTHROPIC, ""),
    ("https://api.anthropic.com/v1", NO_PATH, ANTHROPIC, ""),
    ("https://api.anthropic.com", V1, VERCEL_ANTHROPIC, "/v1"),
    ("https://api.anthropic.com/v1", V1, VERCEL_ANTHROPIC, "/v1"),
    ("https://openrouter.ai/api/v1", (*V1, "/api/v1", "/api/v1/"), OPENAI, "/api/v1"),
    ("https://openrouter.ai/api/v1", (*NO_PATH, "/api"), ANTHROPIC, "/api"),
    ("https://openrouter.ai/api/v1", V1, VERCEL_ANTHROPIC, "/api/v1"),
    ("https://openrouter.ai/api", ("/v1", "/v1/", "/api/v1"), OPENAI, "/api/v1"),
    ("https://api.groq.com/openai/v1", (*V1, "/openai/v1", "/openai/v1/"), OPENAI, "/openai/v1"),
    ("https://api.groq.com/openai/v1", NO_PATH, GROQ, ""),
    ("https://api.groq.com", NO_PATH, GROQ, ""),
    ("https://api.groq.com/openai", ("/v1", "/openai/v1"), OPENAI, "/openai/v1"),
    ("https://api.mistral.ai/v1", NO_PATH, MISTRAL, ""),
    ("https://api.mistral.ai/v1", V1, OPENAI, "/v1"),
    ("https://api.mistral.ai", NO_PATH, MISTRAL, ""),
    ("https://generativelanguage.googleapis.com", NO_PATH, GOOGLE, ""),
    ("https://generativelanguage.googleapis.com", (*NO_PATH, "/v1beta", "/v1beta/"), VERCEL_GOOGLE, "/v1beta"),
    ("https://generativelanguage.googleapis.com", ("/v1", "/v1/"), VERCEL_GOOGLE, "/v1"),
    ("https://generativelanguage.googleapis.com/v1beta", (*NO_PATH, "/v1beta", "/v1beta/"), VERCEL_GOOGLE, "/v1beta"),
    ("https://generativelanguage.googleapis.com", ("/v1beta/openai", "/v1beta/openai/", "/openai"), OPENAI, "/v1beta/openai"),
    ("https://generativelanguage.googleapis.com/v1beta/openai", (*NO_PATH, "/v1beta/openai"), OPENAI, "/v1beta/openai"),
    ("https://h.example/proxy/v1beta/openai", (*NO_PATH, "/v1beta/openai"), OPENAI, "/proxy/v1beta/openai"),
    ("https://x.openai.azure.com", NO_PATH, AZURE, ""),
    ("https://x.openai.azure.com/openai", NO_PATH, AZURE, ""),
    ("https://x.openai.azure.com", ("/openai/v1", "/openai/v1/"), OPENAI, "/openai/v1"),
    ("https://x.openai.azure.com/openai", ("/v1", "/openai/v1"), OPENAI, "/openai/v1"),
    ("https://x.openai.azure.com/openai/v1", (*V1, "/openai/v1", "/openai/v1/"), OPENAI, "/openai/v1"),
    ("https://h.example/api/v1", (*V1, "/api/v1", "/api/v1/"), OPENAI, "/api/v1"),
    ("https://h.example/api/v2.1", (*NO_PATH, "/v2.1", "/v2.1/", "/api/v2.1"), OPENAI, "/api/v2.1"),
    ("https://h.example/llm/v1beta1", (*NO_PATH, "/v1beta1", "/v1beta1/"), OPENAI, "/llm/v1beta1"),
    ("https://h.example/llm/openai/v1", (*V1, "/openai/v1"), OPENAI, "/llm/openai/v1"),
    ("https://h.example/llm/openai/v1", NO_PATH, GROQ, "/llm"),
    ("https://h.example/anthropic", NO_PATH, ANTHROPIC, "/anthropic"),
    ("https://h.example/anthropic/v1", V1, VERCEL_ANTHROPIC, "/anthropic/v1"),
    ("https://h.example/anthropic/v1", NO_PATH, ANTHROPIC, "/anthropic"),
    ("https://h.example/client/v4/accounts/a/ai/v1", (*V1, "/ai/v1"), OPENAI, "/client/v4/accounts/a/ai/v1"),
    ("http://models.team-a.svc:8000/v1", V1, OPENAI, "/v1"),
    ("http://models.team-a.svc:8000", ("/v1", "/v1/"), OPENAI, "/v1"),
)
CASES: Final = [
    (endpoint, base_url, asked, root + asked)
    for endpoint, base_urls, behind, root in TABLE
    for base_url in base_urls
    for asked in behind
]


def at_the_api(endpoint: str, target: bytes) -> bytes:
    """The target that the API is asked for."""
    head = RequestHead("POST", target, (1, 1), ((b"Host", b"gateway.system.svc"), (b"x-api-key", TOKEN)), "10.0.0.1")
    assert check(head) is None
    found = find(head)
    assert isinstance(found, Found)
    api = compile_gateway(GatewayDocument(name="g", namespace="n", uid="u", endpoint=endpoint, auth=Auth(type="Bearer")))
    return prepare(head, found, Credential("c", "1", Redacted("k-1"), ("*",)).at(api)).target


@pytest.mark.row("S13", "S14", "S15", "S16")
@pytest.mark.parametrize(("endpoint", "base_url", "asked", "expected"), CASES)
def test_every_client_arrives_at_every_base_url(endpoint: str, base_url: str, asked: str, expected: str) -> None:
    """Some SDKs take a slash from the base URL's end before they put their path behind it, others do not: then two begin the path."""
    for target in {base_url.rstrip("/") + asked, *([base_url + asked] if base_url in NO_PATH else ())}:
        assert at_the_api(endpoint, target.encode()) == expected.encode()


@pytest.mark.parametrize(
    ("endpoint", "target", "expected"),
    [
        ("https://api.openai.com/v2", b"/chat/completions", b"/v2/chat/completions"),
        ("https://api.openai.com/", b"/v1beta/x", b"/v1/v1beta/x"),
        ("https://api.example/base/", b"/", b"/base/"),
        ("https://api.example/base", b"/base", b"/base"),
        ("https://api.example", b"/a%2Fb?x=%7E&y", b"/a%2Fb?x=%7E&y"),
        ("https://api.example", b"/a?", b"/a?"),
        ("https://api.example/api/v1", b"/v1", b"/api/v1"),
        ("https://api.example/api/v1", b"/v1/", b"/api/v1/"),
        ("https://api.example/api/v1", b"/v1?x=/v1/y", b"/api/v1?x=/v1/y"),
        ("https://api.example/api/v1", b"//v1/x//y?a=//", b"/api/v1/x//y?a=//"),
        ("https://api.example/api/v1", b"/v1//x", b"/api/v1//x"),
        # Gemini has several versions, and paths of none.
        ("https://generativelanguage.googleapis.com", b"/models", b"/v1beta/models"),
        ("https://generativelanguage.googleapis.com", b"/files/f?alt=media", b"/v1beta/files/f?alt=media"),
        ("https://generativelanguage.googleapis.com", b"/v1alpha/models", b"/v1alpha/models"),
        ("https://generativelanguage.googleapis.com", b"/ws/google.ai.x", b"/ws/google.ai.x"),
        ("https://generativelanguage.googleapis.com", b"/modelsx", b"/modelsx"),
        ("https://generativelanguage.googleapis.com", b"/%6dodels", b"/%6dodels"),
        ("https://generativelanguage.googleapis.com", b"/", b"/"),
        # What is no version, or another one, is a path like every other.
        ("https://api.example/api", b"/v1/x", b"/api/v1/x"),
        ("https://api.example/v1/api", b"/api/x", b"/v1/api/api/x"),
        ("https://api.example/a/models", b"/models/x", b"/a/models/models/x"),
        ("https://api.example/api/v1", b"/v2/x", b"/api/v1/v2/x"),
        ("https://api.example/api/v1", b"/v1x/y", b"/api/v1/v1x/y"),
        ("https://api.example/api/v1", b"/V1/y", b"/api/v1/V1/y"),
        ("https://api.example/api/v1", b"/%76%31/y", b"/api/v1/%76%31/y"),
        ("https://api.example/api/video", b"/video/y", b"/api/video/video/y"),
        # Whoever means a path that stands there twice writes the whole of it.
        ("https://api.example/api/v1", b"/api/v1/v1/x", b"/api/v1/v1/x"),
        ("https://api.example/api/v1", b"/v1/v1/x", b"/api/v1/v1/x"),
        ("https://api.example/v1", b"/v1/v1/x", b"/v1/v1/x"),
    ],
)
def test_the_base_path_is_joined_once(endpoint: str, target: bytes, expected: bytes) -> None:
    assert at_the_api(endpoint, target) == expected
    base = base_path(parse_endpoint(endpoint))
    path = expected.partition(b"?")[0]
    assert base.join(path) == path, "what is joined is joined no second time"


def test_join_does_not_take_a_longer_word_for_the_base() -> None:
    assert join(b"/v1", b"/v10/models") == b"/v1/v10/models"


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (b"/chat/completions", True),
        (b"/v1/chat/completions", True),
        (b"//v1/chat/completions", True),
        (b"/api/v1/chat/completions", True),
        (b"/v1/v1/chat/completions", False),
        (b"/api/chat/completions", False),
        (b"/v1//chat/completions", False),
        (b"/%761/chat/completions", False),
        (b"//v1/admin", False),
        (b"//v1/chat/completions?_method=DELETE", False),
    ],
)
def test_rules_judge_the_joined_path(target: bytes, expected: bool) -> None:
    rules = compile_rules([Rule(paths=("/api/v1/chat/*",))])
    assert allowed(rules, BasePath(b"/api/v1"), "POST", target) is expected
    if expected:
        assert at_the_api("https://h.example/api/v1", target) == b"/api/v1/chat/completions"
