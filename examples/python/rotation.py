"""A new key, while the devbox goes on: nothing is restarted. Set ANTHROPIC_API_KEY and NEW_ANTHROPIC_API_KEY."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

CALL = """
curl --silent --output /dev/null --write-out '%{http_code}' "$ANTHROPIC_URL/v1/models" \\
  --header "Authorization: Bearer $ANTHROPIC" --header "anthropic-version: 2023-06-01"
"""


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="anthropic", endpoint="https://api.anthropic.com", auth_mechanism={"type": "bearer"}
        )
        secret = await client.secrets.create(name="ROTATED_API_KEY", value=os.environ["ANTHROPIC_API_KEY"])
        gateways = {"ANTHROPIC": {"gateway": gateway.id, "secret": secret}}
        async with await client.devboxes.create(name="rotation", gateways=gateways) as devbox:
            print("with the old key:", await (await devbox.cmd.exec(CALL)).stdout())
            await client.secrets.update(secret, value=os.environ["NEW_ANTHROPIC_API_KEY"])
            await asyncio.sleep(2)  # the gateways have it within two seconds
            print("with the new one:", await (await devbox.cmd.exec(CALL)).stdout())
        await secret.delete()


if __name__ == "__main__":
    asyncio.run(main())
