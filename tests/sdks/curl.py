"""What curl is called with."""

CHAT = '{"model": "gpt-5.5", "messages": [{"role": "user", "content": "count"}]}'
MESSAGE = '{"model": "claude-sonnet-5-5", "max_tokens": 64, "messages": [{"role": "user", "content": "count"}]}'
CONTENT = '{"contents": [{"role": "user", "parts": [{"text": "count"}]}]}'
WAYS = {
    "anthropic, key header": ("ANTHROPIC", "x-api-key: %s", "/v1/messages", MESSAGE),
    "anthropic, Bearer": ("ANTHROPIC", "Authorization: Bearer %s", "/v1/messages", MESSAGE),
    "openai": ("OPENAI", "Authorization: Bearer %s", "/v1/chat/completions", CHAT),
    "openai, short path": ("OPENAI", "Authorization: Bearer %s", "/chat/completions", CHAT),
    "google, key header": ("GEMINI", "x-goog-api-key: %s", "/v1beta/models/gemini-4-flash:generateContent", CONTENT),
    "google, Header": ("GEMINI_HEADER", "Authorization: Bearer %s", "/v1beta/models/gemini-4-flash:generateContent", CONTENT),
}


def call(name: str, header: str, path: str, *options: str, token: str = "") -> str:
    """The script: `curl` with the header (%s is the token) at a path of the gateway. `token`: a shell's expression."""
    config = f'printf \'header = "{header}"\\n\' "{token or f"${name}"}"'
    return f'{config} | curl -sSv --config - {" ".join(options)} "${name}_URL{path}"'


def data(body: str) -> str:
    """Options that send JSON."""
    return f"-H 'Content-Type: application/json' -H 'anthropic-version: 2023-06-01' -d '{body}'"
