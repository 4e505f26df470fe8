"""An agent that calls Anthropic without having the key. Set ANTHROPIC_API_KEY."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

CALL = """
curl --silent --show-error --fail-with-body "$ANTHROPIC_URL/v1/messages" \\
  --header "Authorization: Bearer $ANTHROPIC" --header "anthropic-version: 2023-06-01" --json '
    {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello!"}]}'
"""


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="anthropic", endpoint="https://api.anthropic.com", auth_mechanism={"type": "bearer"}
        )
        await client.secrets.create(name="ANTHROPIC_API_KEY", value=os.environ["ANTHROPIC_API_KEY"])
        gateways = {"ANTHROPIC": {"gateway": gateway.id, "secret": "ANTHROPIC_API_KEY"}}
        async with await client.devboxes.create(name="anthropic", gateways=gateways) as devbox:
            print(await (await devbox.cmd.exec("env | grep ANTHROPIC")).stdout())  # a token of this devbox's, not the key
            result = await devbox.cmd.exec(CALL)
            print(await result.stdout(), await result.stderr())


if __name__ == "__main__":
    asyncio.run(main())
