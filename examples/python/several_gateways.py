"""One devbox, two APIs, two keys, none of them in it. Set ANTHROPIC_API_KEY and OPENAI_API_KEY."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

APIS = {"ANTHROPIC": "https://api.anthropic.com", "OPENAI": "https://api.openai.com"}


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        gateways = {}
        for name, endpoint in APIS.items():
            config = await client.gateway_configs.create(
                name=name.lower(), endpoint=endpoint, auth_mechanism={"type": "bearer"}
            )
            await client.secrets.create(name=f"{name}_API_KEY", value=os.environ[f"{name}_API_KEY"])
            gateways[name] = {"gateway": config, "secret": f"{name}_API_KEY"}
        async with await client.devboxes.create(name="several", gateways=gateways) as devbox:
            for name in APIS:
                call = f'curl --silent --fail-with-body "${name}_URL/v1/models" --header "Authorization: Bearer ${name}"'
                result = await devbox.cmd.exec(f'{call} --header "anthropic-version: 2023-06-01"')
                print(name, await result.stdout())


if __name__ == "__main__":
    asyncio.run(main())
