"""Ops listener: a role's health and metrics, on an address that is not public.

/metrics: its numbers. /readyz: does each dependency answer? /healthz: does the role's loop turn? It
asks nobody else, so a store that is away makes no role sick. /livez: as /readyz until that was ok
once, then as /healthz: for a caller with one question only, such as a container engine.

It runs in a thread of its own. Counters are plain numbers of the role's dict, read at scrape time,
so that the hot path pays nothing for being measured.
Every connection ends with its first answer (wsgiref speaks HTTP/1.0), and no body is read.
"""

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeout
from socketserver import ThreadingMixIn
from typing import Any, TypeVar
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import msgspec
import structlog
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector

from miaosha.domain.errors import SettingsError
from miaosha.serving.listening import parsed
from miaosha.serving.readiness import CHECK_TIMEOUT_S, Checks, readiness

T = TypeVar("T")
AGAIN_S = 0.1  # between two tries for a port that another process has
POLL_S = 0.2  # the listener looks so often whether it shall stop
STOP_S = 2.0
OK = "200 OK"
UNAVAILABLE = "503 Service Unavailable"
ALIVE: dict[str, Any] = {"status": "ok"}
HUNG: dict[str, Any] = {"status": "hung"}
GAUGES = frozenset({"connections", "leading", "parked_mails", "parked_messages", "sockets"})

log = structlog.get_logger()


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


class _Server6(_Server):
    address_family = socket.AF_INET6


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
    """Listen on `address` (host:port) for scrapes and probes of this loop's role; returns what
    stops it (it blocks for a moment, and may be called again).

    Raises:
        SettingsError: `address` is none, or not one of this machine's.
    """
    return _Ops(address, role, counters, checks).stop


class _Ops:
    """The listener. It waits for its port as long as another process has it (a predecessor that
    this one takes over from): nothing else of the role waits for that.
    """

    def __init__(
        self, address: str, role: str, counters: Mapping[str, float], checks: Checks
    ) -> None:
        self._address = parsed(address, "--metrics")
        if not self._address.port:
            raise SettingsError(f"--metrics {address!r}: expected host:port")
        registry = CollectorRegistry()
        registry.register(_Counters(role, counters))
        ProcessCollector(registry=registry)
        self._metrics = make_wsgi_app(registry)
        self._checks = checks
        self._was_ready = False
        self._loop = asyncio.get_running_loop()
        self._stopping = threading.Event()
        self._serving = threading.Lock()  # held to change one of the two when both count
        self._told = False
        self._server: _Server | None = None  # once it serves
        run, first = self._run, self._bound()
        self._thread = threading.Thread(target=run, args=(first,), name="ops", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._serving:
            self._stopping.set()
        if self._server is not None:
            self._server.shutdown()
        self._thread.join(STOP_S)

    def _bound(self) -> "_Server | None":
        """None while another has the port. Raises SettingsError: it cannot be had at all."""
        _, host, port = self._address
        try:
            return make_server(host, port, self._answer, _family(host), _Quiet)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise SettingsError(f"--metrics {host}:{port}: {error.strerror}") from None
            if not self._told:
                log.warning("metrics_wait", address=f"{host}:{port}", error=error.strerror)
            self._told = True
            return None

    def _run(self, server: "_Server | None") -> None:
        while server is None:
            if self._stopping.wait(AGAIN_S):
                return
            with contextlib.suppress(SettingsError):  # it was this machine's a moment ago
                server = self._bound()
        with server:
            with self._serving:
                if self._stopping.is_set():
                    return
                self._server = server
            server.serve_forever(POLL_S)

    def _answer(self, environ: dict[str, Any], start: Any) -> Iterable[bytes]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        if method not in ("GET", "HEAD"):
            status, body = "405 Method Not Allowed", {"status": "method_not_allowed"}
        elif _has_body(environ):
            status, body = "400 Bad Request", {"status": "bad_request"}
        elif path == "/metrics":
            return self._metrics(environ, start)  # type: ignore[no-any-return]
        else:
            status, body = self._probed(path)
        start(status, [("content-type", "application/json")])
        return [msgspec.json.encode(body)] if method != "HEAD" else []

    def _probed(self, path: str) -> tuple[str, dict[str, Any]]:
        """What a probe is answered: status and body."""
        if path not in ("/healthz", "/livez", "/readyz"):
            return "404 Not Found", {"status": "not_found"}
        if path == "/healthz" or (path == "/livez" and self._was_ready):
            turned = self._on_the_loop(_turned(), CHECK_TIMEOUT_S)
            return (OK, ALIVE) if turned else (UNAVAILABLE, HUNG)
        within_s = CHECK_TIMEOUT_S * 2  # a loop that is late is not one that hangs
        good, results = self._on_the_loop(readiness(self._checks), within_s) or (False, {})
        good = good and bool(results)  # a role without checks is still starting
        self._was_ready |= good
        said = {"status": "ok" if good else "not_ready", "checks": results}
        return OK if good else UNAVAILABLE, said

    def _on_the_loop(self, work: Coroutine[Any, Any, T], within_s: float) -> T | None:
        """What it comes to; None: the loop did not come to it."""
        asked = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return asked.result(within_s)
        except FutureTimeout:
            asked.cancel()
            return None


async def _turned() -> bool:
    return True


def _family(host: str) -> type[_Server]:
    return _Server6 if ":" in host else _Server
