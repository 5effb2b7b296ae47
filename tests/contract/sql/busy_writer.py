"""A process that writes for a while, alone in its queue: `busy_writer.py URL SECONDS`.

Writes to standard output the longest wait for one write in seconds, and how many there were.
"""

import asyncio
import os
import sys
import time

from sqlalchemy import Connection

from miaosha.adapters.sql.engine import open_database
from miaosha.adapters.sql.inserts import insert_ignoring
from miaosha.adapters.sql.tables import leases


async def main(url: str, seconds: float) -> None:
    database = open_database(url)
    longest, count = 0.0, 0

    def unit(connection: Connection) -> None:
        row = {"name": f"{os.getpid()}.{count}", "owner": "busy", "until_ms": count}
        insert_ignoring(connection, leases, [row])

    end = time.monotonic() + seconds
    while (began := time.monotonic()) < end:
        await database.write(unit)
        longest = max(longest, time.monotonic() - began)
        count += 1
    await database.close()
    sys.stdout.write(f"{longest} {count}\n")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2])))
