"""What a devbox may reach besides its gateways: nothing, but what a policy names."""

import asyncio

from devbox_gateway import AsyncDevboxGateway

HOSTS = ["pypi.org", "files.pythonhosted.org"]


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        policy = await client.network_policies.create(name="python-packages", allow_all=False, allowed_hostnames=HOSTS)
        async with await client.devboxes.create(name="policy", launch_parameters={"network_policy_id": policy.id}) as devbox:
            for host in ("pypi.org", "example.com"):
                call = f"curl --silent --show-error --output /dev/null --write-out '%{{http_code}}' https://{host}/simple/"
                result = await devbox.cmd.exec(call)
                print(host, await result.stdout(), await result.stderr())


if __name__ == "__main__":
    asyncio.run(main())
