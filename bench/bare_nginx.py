"""Bare nginx: the limit of the machine: a server that answers 202 to all, under the same load."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path

from bench.generator_process import GeneratorProcesses
from bench.load import Load
from bench.measurement import Row
from bench.presses import Presses
from bench.tally import milliseconds
from bench.usage import load_average, megabytes, per_purchase, used
from miaosha.supervisor.die_with_parent import die_with_parent
from miaosha.supervisor.edge.nginx_config import nginx_binary
from miaosha.supervisor.health_probes import http_ready
from miaosha.supervisor.run_directory import socket_place

STARTED_WITHIN_S = 10.0
NO_MATTER = ("request_id_twice", "exhausted")  # one answer for all; a crowd that was too small
BODY = '{"request_id":"01981234-0000-7000-8000-000000000001.0","state":"queued"}'
CONFIG = """
user root;
daemon off;
pid nginx.pid;
error_log error.log;
worker_processes {workers};
events {{ worker_connections 8192; }}
http {{
    access_log off;
    keepalive_requests 100000000;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen unix:limit.sock;
        default_type application/json;
        location / {{ return 202 '{body}'; }}
        location = /readyz {{ return 200; }}
    }}
}}
"""


@contextlib.asynccontextmanager
async def bare_nginx(workers: int) -> AsyncIterator[tuple[str, int]]:
    """Its target and pid. Raises TimeoutError, DependencyDown."""
    with tempfile.TemporaryDirectory(prefix="miaosha-limit-", dir=socket_place()) as name:
        run = Path(name)
        (run / "nginx.conf").write_text(CONFIG.format(workers=workers, body=BODY), "utf-8")
        command = [nginx_binary(), "-p", "./", "-e", "error.log", "-c", "nginx.conf"]
        process = await asyncio.create_subprocess_exec(
            *die_with_parent(command), cwd=run, process_group=0
        )
        try:
            async with asyncio.timeout(STARTED_WITHIN_S):
                while not await http_ready(run / "limit.sock"):  # noqa: ASYNC110 - it cannot tell us
                    await asyncio.sleep(0.05)
            yield f"unix:{run / 'limit.sock'}", process.pid
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def limit(presses: Presses, connections: int, seconds: float, processes: int) -> Row:
    """What the same requests come to where nothing is done for them."""
    row = Row(
        name="limit", mix="bare nginx, two workers, `return 202`", load_average=load_average()
    )
    async with bare_nginx(workers=2) as (target, pid):
        load = Load(targets=(target,), connections=connections, seconds=seconds, ordered=False)
        async with GeneratorProcesses(load, presses, processes) as generators:
            before = used({"nginx": pid})
            tally = await generators.run(time.monotonic() + 0.2)
            after = used({"nginx": pid})
    answers = sum(tally.by_status().values())
    row.statuses, row.codes = tally.by_status(), dict(tally.codes)
    row.errors = {k: n for k, n in tally.errors.items() if k not in NO_MATTER}
    row.seconds = round(max(tally.ended_array(), default=0.0), 2)
    row.answers_per_s = round(answers / max(row.seconds, 0.001))
    row.latency_ms = milliseconds(tally.latencies_of(lambda status: status == 202))
    row.cpu_us = per_purchase(before, after, answers)
    row.generator_us = round(tally.cpu_s * 1e6 / max(1, answers), 2)
    row.memory_mb = megabytes(after)
    return row
