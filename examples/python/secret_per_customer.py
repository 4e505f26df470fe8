"""Many customers, one gateway config, a Secret for each: a customer's devbox uses that customer's key. Set KEY_OF_A and KEY_OF_B."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

CALL = """
curl --silent --show-error --fail-with-body "$LLM_URL/v1/messages" \\
  --header "Authorization: Bearer $LLM" --header "anthropic-version: 2023-06-01" --json '
    {"model": "claude-sonnet-5-5", "max_tokens": 100, "messages": [{"role": "user", "content": "Hello!"}]}'
"""


async def serve(client: AsyncDevboxGateway, gateway: str, customer: str, key: str) -> str:
    secret = f"CUSTOMER_{customer}_API_KEY"
    await client.secrets.create(name=secret, value=key)
    gateways = {"LLM": {"gateway": gateway, "secret": secret}}
    async with await client.devboxes.create(name=f"customer-{customer}", gateways=gateways) as devbox:
        return await (await devbox.cmd.exec(CALL)).stdout()


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="anthropic", endpoint="https://api.anthropic.com", auth_mechanism={"type": "bearer"}
        )
        answers = await asyncio.gather(
            serve(client, gateway.id, "A", os.environ["KEY_OF_A"]), serve(client, gateway.id, "B", os.environ["KEY_OF_B"])
        )
        for answer in answers:
            print(answer)


if __name__ == "__main__":
    asyncio.run(main())
