import asyncio
import sys

import aiohttp


async def main(port, targets):
    gate = asyncio.Semaphore(1000)
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(host):
            async with gate:
                async with session.get(f"http://{host}:{port}/") as answer:
                    assert answer.status == 200
                    await answer.read()

        first = (127 << 24) + (1 << 16) + 1
        numbers = range(first, first + targets)
        hosts = (".".join(str(n >> s & 255) for s in (24, 16, 8, 0)) for n in numbers)
        await asyncio.gather(*(ask(host) for host in hosts))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
