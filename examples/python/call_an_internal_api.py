"""An API of your own, which takes its key in a header of its own. Set INTERNAL_API_TOKEN, and write your API's endpoint below."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

ENDPOINT = "https://api.internal.example"


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateway = await client.gateway_configs.create(
            name="internal", endpoint=ENDPOINT, auth_mechanism={"type": "header", "key": "X-Internal-Token"}
        )
        await client.secrets.create(name="INTERNAL_API_TOKEN", value=os.environ["INTERNAL_API_TOKEN"])
        gateways = {"INTERNAL": {"gateway": gateway.id, "secret": "INTERNAL_API_TOKEN"}}
        async with await client.devboxes.create(name="internal", gateways=gateways) as devbox:
            call = 'curl --silent --fail-with-body "$INTERNAL_URL/v1/customers?page=2" --header "X-Internal-Token: $INTERNAL"'
            result = await devbox.cmd.exec(call)
            print(await result.stdout(), await result.stderr())


if __name__ == "__main__":
    asyncio.run(main())
