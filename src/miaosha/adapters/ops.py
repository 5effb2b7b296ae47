"""The ops listener of a role: /healthz (no I/O), /readyz (each dependency), /metrics.

It runs in a thread of its own on an address that is not public. Counters are plain numbers of the
role's dict, read at scrape time, so that the hot path pays nothing for being measured.
Every connection ends with its first answer (wsgiref speaks HTTP/1.0), and no body is read.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

Checks = Mapping[str, Callable[[], Awaitable[None]]]
CHECK_TIMEOUT_S = 2.0
ALIVE: dict[str, Any] = {"status": "ok"}
GAUGES = frozenset({"connections", "leading", "parked_mails", "parked_messages", "sockets"})


async def readiness(checks: Checks) -> tuple[bool, dict[str, str]]:
    """Run every check for at most two seconds; ("ok" or the kind of failure) by name."""
    results: dict[str, str] = {}
    for name, check in checks.items():
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                await check()
            results[name] = "ok"
        except Exception as error:
            results[name] = type(error).__name__
    return all(value == "ok" for value in results.values()), results


class _Counters(Collector):
    """Every number of the role: `miaosha_<role>_<name>_total`, or without `_total` for those in
    GAUGES, which may fall."""

    def __init__(self, role: str, counters: Mapping[str, float]) -> None:
        self._role = role
        self._counters = counters

    def collect(self) -> Iterator[Metric]:
        for name, value in list(self._counters.items()):
            metric = f"miaosha_{self._role}_{name}".replace("-", "_").replace(".", "_")
            kind = GaugeMetricFamily if name in GAUGES else CounterMetricFamily
            yield kind(metric, name.replace("_", " "), value=value)


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 5

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Scrapes are not logged."""


def _has_body(environ: Mapping[str, Any]) -> bool:
    length = environ.get("CONTENT_LENGTH") or "0"  # wsgiref has "" where there is none
    return length != "0" or "HTTP_TRANSFER_ENCODING" in environ


def start_ops(
    address: str, role: str, counters: Mapping[str, float], checks: Checks
) -> Callable[[], None]:
    """Listen on `address` (host:port) for scrapes and probes; answers what stops it."""
    host, _, port = address.rpartition(":")
    registry = CollectorRegistry()
    registry.register(_Counters(role, counters))
    ProcessCollector(registry=registry)
    metrics = make_wsgi_app(registry)
    loop = asyncio.get_running_loop()

    def application(environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        body: dict[str, Any]
        path = environ.get("PATH_INFO", "")
        method = environ["REQUEST_METHOD"]
        if method not in ("GET", "HEAD"):
            status, body = "405 Method Not Allowed", {"status": "method_not_allowed"}
        elif _has_body(environ):
            status, body = "400 Bad Request", {"status": "bad_request"}
        elif path == "/metrics":
            return metrics(environ, start)  # type: ignore[no-any-return]
        elif path == "/healthz":
            status, body = "200 OK", ALIVE
        elif path == "/readyz":
            ready = asyncio.run_coroutine_threadsafe(readiness(checks), loop)
            good, results = ready.result(CHECK_TIMEOUT_S * (len(checks) + 1))
            body = {"status": "ok" if good else "not_ready", "checks": results}
            status = "200 OK" if good else "503 Service Unavailable"
        else:
            status, body = "404 Not Found", {"status": "not_found"}
        start(status, [("content-type", "application/json")])
        return [msgspec.json.encode(body)] if method != "HEAD" else []

    server = make_server(host or "127.0.0.1", int(port), application, _Server, _Quiet)
    thread = threading.Thread(target=server.serve_forever, name="ops", daemon=True)
    thread.start()

    def stop() -> None:
        server.shutdown()
        server.server_close()
        thread.join(timeout=2)

    return stop
