"""The same with OpenAI. Set OPENAI_API_KEY."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

CALL = """
curl --silent --show-error --fail-with-body "$OPENAI_URL/v1/chat/completions" --header "Authorization: Bearer $OPENAI" --json '
  {"model": "gpt-5.6-luna", "messages": [{"role": "user", "content": "Hello!"}]}'
"""


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="openai", endpoint="https://api.openai.com", auth_mechanism={"type": "bearer"}
        )
        await client.secrets.create(name="OPENAI_API_KEY", value=os.environ["OPENAI_API_KEY"])
        gateways = {"OPENAI": {"gateway": gateway.id, "secret": "OPENAI_API_KEY"}}
        async with await client.devboxes.create(name="openai", gateways=gateways) as devbox:
            result = await devbox.cmd.exec(CALL)
            print(await result.stdout(), await result.stderr())


if __name__ == "__main__":
    asyncio.run(main())
