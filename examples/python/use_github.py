"""GitHub: an agent may read issues and clone, and may not push, whatever its token could. Set GITHUB_TOKEN and GITHUB_REPOSITORY."""

import asyncio
import os

from devbox_gateway import AsyncDevboxGateway

READ = [{"methods": ["GET"], "paths": ["/repos/**"]}]
CLONE = [
    {"methods": ["GET"], "paths": ["/*/*/info/refs"]},
    {"methods": ["POST"], "paths": ["/*/*/git-upload-pack"]},
]
LOG_IN = """
git config --global "url.$GITHUB_URL/.insteadOf" https://github.com/
git config --global "credential.$GITHUB_URL.helper" \\
    '!f() { test "$1" = get && printf "username=x\\npassword=%s\\n" "$GITHUB"; }; f'
"""  # for the gateway's address alone: no other host is told the token
PUSH = """
cd repository && git config user.name agent && git config user.email agent@localhost
git commit --quiet --allow-empty --message work && git push --quiet
"""


async def main() -> None:
    repository = os.environ["GITHUB_REPOSITORY"]  # owner/name
    async with AsyncDevboxGateway() as client:
        api = await client.gateway_configs.create(
            name="github-api", endpoint="https://api.github.com", auth_mechanism={"type": "bearer"}, rules=READ
        )
        git = await client.gateway_configs.create(
            name="github",
            endpoint="https://github.com",
            auth_mechanism={"type": "basic", "username": "x-access-token"},
            rules=CLONE,
        )
        # A Secret is granted to one host by itself; the other one is said here.
        await client.secrets.create(
            name="GITHUB_TOKEN", value=os.environ["GITHUB_TOKEN"], allowed_hosts=["api.github.com", "github.com"]
        )
        gateways = {
            "GITHUB_API": {"gateway": api.id, "secret": "GITHUB_TOKEN"},
            "GITHUB": {"gateway": git.id, "secret": "GITHUB_TOKEN"},
        }
        async with await client.devboxes.create(name="github", gateways=gateways) as devbox:
            issues = f'curl --silent --fail-with-body "$GITHUB_API_URL/repos/{repository}/issues"'
            result = await devbox.cmd.exec(f'{issues} --header "Authorization: Bearer $GITHUB_API"')
            print("issues:", await result.stdout())
            await devbox.cmd.exec(LOG_IN)
            cloned = await devbox.cmd.exec(f"git clone --quiet https://github.com/{repository}.git repository")
            print("clone:", "yes" if cloned.success else await cloned.stderr())
            pushed = await devbox.cmd.exec(PUSH)
            print("push:", "yes" if pushed.success else await pushed.stderr())


if __name__ == "__main__":
    asyncio.run(main())
