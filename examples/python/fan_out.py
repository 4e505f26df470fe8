"""Twenty devboxes at once, each with a piece of the work."""

import asyncio

from devbox_gateway import AsyncDevboxGateway

COUNT = 20


async def work(client: AsyncDevboxGateway, piece: int) -> str:
    async with await client.devboxes.create(environment_variables={"PIECE": str(piece)}) as devbox:
        result = await devbox.cmd.exec("python3 -c 'import os; print(int(os.environ[\"PIECE\"]) ** 2)'")
        return (await result.stdout()).strip()


async def main() -> None:
    async with AsyncDevboxGateway() as client:
        print(await asyncio.gather(*(work(client, piece) for piece in range(COUNT))))


if __name__ == "__main__":
    asyncio.run(main())
