"""Gemini, whose key stands in a header of its own; the agent sends its token in the same one. Set GEMINI_API_KEY."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

CALL = """
curl --silent --show-error --fail-with-body "$GEMINI_URL/v1beta/models/gemini-3-flash:generateContent" \\
  --header "x-goog-api-key: $GEMINI" --json '{"contents": [{"parts": [{"text": "Hello!"}]}]}'
"""


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="gemini",
            endpoint="https://generativelanguage.googleapis.com",
            auth_mechanism={"type": "header", "key": "x-goog-api-key"},
        )
        await client.secrets.create(name="GEMINI_API_KEY", value=os.environ["GEMINI_API_KEY"])
        gateways = {"GEMINI": {"gateway": gateway.id, "secret": "GEMINI_API_KEY"}}
        async with await client.devboxes.create(name="gemini", gateways=gateways) as devbox:
            result = await devbox.cmd.exec(CALL)
            print(await result.stdout(), await result.stderr())


if __name__ == "__main__":
    asyncio.run(main())
