"""The agents: what each is told by, and how it is asked for its job. docs/clients.md has the same for people.

Goes in: nothing. Comes out: `ROWS`. A way's script runs in an empty folder with $JOB, what is asked, and $FILE, the file to be written; all
else is the devbox's own environment.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

ALIASES: Final[Mapping[str, Mapping[str, Sequence[str]]]] = {
    "ANTHROPIC": {"token": ["ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN"], "url": ["ANTHROPIC_BASE_URL"]},
    "OPENAI": {"token": ["OPENAI_API_KEY", "CODEX_API_KEY"], "url": ["OPENAI_BASE_URL", "OPENAI_API_BASE"]},
    "GEMINI": {"token": ["GEMINI_API_KEY"], "url": ["GOOGLE_GEMINI_BASE_URL"]},
}
"""Of every devbox here."""
APIS: Final = {"ANTHROPIC": "anthropic", "OPENAI": "openai", "GEMINI": "google"}
"""By the gateway's name."""
JOB: Final = "Run `uname -n` and write what it prints into `{}`."
FRAMEWORKS: Final = "/opt/frameworks/bin/python /opt/agents/programs"
OLDER: Final = "/opt/aider/bin/python /opt/agents/programs"
"""With an openai of 2.x."""
_PACKAGE: Final = "/opt/{}/bin/python -c 'from importlib.metadata import version; print(version(\"{}\"))'"
_NODE_PACKAGE: Final = 'sed -n \'s/^ *"version": "\\(.*\\)",/\\1/p\' /opt/agents/node_modules/{}/package.json'


@dataclass(frozen=True)
class Way:
    """One API that an agent works with."""

    gateway: str
    script: str
    request: str
    """What it has to have sent: method, and the path without the query."""
    title: str = ""
    """What tells it from the agent's other ways."""


@dataclass(frozen=True)
class Row:
    """One agent."""

    name: str
    """What ONLY takes."""
    version: str
    """A shell's line that prints it."""
    ways: tuple[Way, ...]
    image: str = "more-agents"
    env: Mapping[str, str] = field(default_factory=dict)
    """The devbox's spec.env: what silences side hosts."""


_CODEX: Final = """
mkdir -p ~/.codex; printf '%s\\n' {settings} > ~/.codex/config.toml
codex exec --skip-git-repo-check --sandbox danger-full-access "$JOB" </dev/null 2>&1
"""
_PROVIDER: Final = (
    'model=\\"gpt-5.5\\"',
    'model_provider=\\"gateway\\"',
    "[model_providers.gateway]",
    'name=\\"gateway\\"',
    'base_url=\\"$OPENAI_URL\\"',
    'env_key=\\"OPENAI\\"',
    'wire_api=\\"responses\\"',
)
_GEMINI: Final = """
mkdir -p ~/.gemini
echo '{"security": {"auth": {"selectedType": "gemini-api-key"}}, "privacy": {"usageStatisticsEnabled": false}}' > ~/.gemini/settings.json
gemini --yolo -m gemini-3.1-pro-preview -p "$JOB" </dev/null
"""
_AIDER: Final = """
aider=/opt/aider/bin/python\\ -m\\ aider
$aider --model {} --edit-format whole --yes-always --no-check-update --no-show-model-warnings --analytics-disable --no-git \\
  --auto-test --test-cmd "uname -n | diff - $FILE" --message "$JOB" "$FILE" </dev/null
"""
_OPENCODE: Final = """\
printf '{{"small_model": "%s"}}' {0} > opencode.json
opencode run -m {0} "$JOB" </dev/null
"""
_AI_SDK: Final = 'node /opt/agents/programs/use_ai_sdk.mjs "$JOB" {}'
_MESSAGES: Final = "POST /v1/messages"
_CHAT: Final = "POST /v1/chat/completions"
_RESPONSES: Final = "POST /v1/responses"
_GENERATE: Final = "POST /v1beta/models/gemini-3.1-pro-preview:generateContent"
_GENERATE_V1: Final = _GENERATE.replace("/v1beta/", "/v1/")
"""google-genai 3.x."""
_STREAM: Final = "POST /v1beta/models/gemini-3.1-pro-preview:streamGenerateContent"

ROWS: Final = (
    Row(
        "claude-code",
        "claude --version",
        (Way("ANTHROPIC", 'claude -p "$JOB" --allowedTools Bash,Write </dev/null', _MESSAGES),),
        image="agents",
    ),
    Row(
        "codex",
        "codex --version",
        (
            Way(
                "OPENAI",
                _CODEX.format(settings='"openai_base_url=\\"$OPENAI_URL\\"" "model=\\"gpt-5.5\\""'),
                "GET /v1/responses",
                "WebSocket",
            ),
            Way("OPENAI", _CODEX.format(settings=" ".join(f'"{line}"' for line in _PROVIDER)), _RESPONSES, "SSE"),
        ),
        image="agents",
    ),
    Row(
        "gemini-cli",
        _NODE_PACKAGE.format("@google/gemini-cli"),
        (Way("GEMINI", _GEMINI, _STREAM),),
        env={"GEMINI_CLI_TRUST_WORKSPACE": "true"},
    ),
    Row(
        "opencode",
        _NODE_PACKAGE.format("opencode-linux-*"),
        (
            Way("OPENAI", _OPENCODE.format("openai/gpt-5.5"), _RESPONSES),
            Way("ANTHROPIC", _OPENCODE.format("anthropic/claude-opus-5-5"), _MESSAGES),
        ),
        env={"OPENCODE_DISABLE_MODELS_FETCH": "1", "OPENCODE_DISABLE_AUTOUPDATE": "1"},
    ),
    Row(
        "aider",
        _PACKAGE.format("aider", "aider-chat"),
        (Way("OPENAI", _AIDER.format("openai/gpt-5.5"), _CHAT),),
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
    Row(
        "openai-agents",
        _PACKAGE.format("frameworks", "openai-agents"),
        (Way("OPENAI", f'{FRAMEWORKS}/use_openai_agents.py "$JOB"', _RESPONSES),),
        env={"OPENAI_AGENTS_DISABLE_TRACING": "1"},
    ),
    Row(
        "ai-sdk",
        _NODE_PACKAGE.format("ai"),
        (Way("OPENAI", _AI_SDK.format("openai"), _RESPONSES), Way("ANTHROPIC", _AI_SDK.format("anthropic"), _MESSAGES)),
    ),
    Row(
        "langchain-openai",
        _PACKAGE.format("frameworks", "langchain-openai"),
        (Way("OPENAI", f'{FRAMEWORKS}/use_langchain.py "$JOB" openai', _CHAT),),
    ),
    Row(
        "langchain-anthropic",
        _PACKAGE.format("frameworks", "langchain-anthropic"),
        (Way("ANTHROPIC", f'{FRAMEWORKS}/use_langchain.py "$JOB" anthropic', _MESSAGES),),
    ),
    Row(
        "pydantic-ai",
        _PACKAGE.format("frameworks", "pydantic-ai-slim"),
        (
            Way("OPENAI", f'{FRAMEWORKS}/use_pydantic_ai.py "$JOB" openai:gpt-5.5', _RESPONSES),
            Way("ANTHROPIC", f'{FRAMEWORKS}/use_pydantic_ai.py "$JOB" anthropic:claude-opus-5-5', _MESSAGES),
            Way("GEMINI", f'{FRAMEWORKS}/use_pydantic_ai.py "$JOB" google:gemini-3.1-pro-preview', _GENERATE_V1),
        ),
    ),
    Row(
        "litellm",
        _PACKAGE.format("frameworks", "litellm"),
        (
            Way("OPENAI", f'{FRAMEWORKS}/use_litellm.py "$JOB" openai/gpt-5.5', _CHAT),
            Way("ANTHROPIC", f'{FRAMEWORKS}/use_litellm.py "$JOB" anthropic/claude-opus-5-5', _MESSAGES),
            Way(
                "GEMINI",
                f'export GEMINI_API_BASE="$GEMINI_URL"; {FRAMEWORKS}/use_litellm.py "$JOB" gemini/gemini-3.1-pro-preview',
                _GENERATE,
            ),
        ),
        env={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    ),
    Row(
        "llama-index",
        _PACKAGE.format("aider", "llama-index-llms-openai"),
        (Way("OPENAI", f'{OLDER}/use_llama_index.py "$JOB"', _CHAT),),
    ),
)


def chosen(names: Sequence[str]) -> list[Row]:
    """Those that are named, or all. Raises ValueError for a name that is none."""
    if unknown := sorted(set(names) - {row.name for row in ROWS}):
        raise ValueError(f"there is no agent {', '.join(unknown)}; there are: {', '.join(row.name for row in ROWS)}")
    return [row for row in ROWS if row.name in names or not names]
