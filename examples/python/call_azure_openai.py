"""Azure OpenAI: an endpoint per resource, and a header of its own. Set AZURE_OPENAI_API_KEY, and write your resource's name below."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

ENDPOINT = "https://my-resource.openai.azure.com"
CALL = """
curl --silent --show-error --fail-with-body "$AZURE_URL/openai/deployments/my-deployment/chat/completions?api-version=2026-03-01" \\
  --header "api-key: $AZURE" --json '{"messages": [{"role": "user", "content": "Hello!"}]}'
"""


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="azure-openai", endpoint=ENDPOINT, auth_mechanism={"type": "header", "key": "api-key"}
        )
        await client.secrets.create(name="AZURE_OPENAI_API_KEY", value=os.environ["AZURE_OPENAI_API_KEY"])
        gateways = {"AZURE": {"gateway": gateway.id, "secret": "AZURE_OPENAI_API_KEY"}}
        async with await client.devboxes.create(name="azure-openai", gateways=gateways) as devbox:
            result = await devbox.cmd.exec(CALL)
            print(await result.stdout(), await result.stderr())


if __name__ == "__main__":
    asyncio.run(main())
