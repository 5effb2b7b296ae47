"""The broker when its server dies, hangs, is full or hangs up in the middle."""

import asyncio
import signal
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from miaosha.adapters.redis.broker import RedisBroker
from miaosha.adapters.redis.pipelined_connection import Wire, refusal
from miaosha.domain.errors import DependencyDown, Fault, OutcomeUnknown, Overloaded
from miaosha.domain.messages import Batch
from miaosha.supervisor.servers.valkey import Valkey, start_valkey
from tests.contract.brokers import SALE, RedisRig
from tests.contract.test_broker import Seen, batch, empty, refuses_every_call, running
from tests.kit.killing import kill
from tests.kit.waits import until


@pytest.fixture
async def broker(broker_server: Valkey) -> AsyncIterator[RedisBroker]:
    broker = RedisBroker(
        broker_server.url, prefetch=4, reclaim_after_ms=500, confirm_timeout_ms=20_000
    )
    await broker.open(SALE)
    yield broker
    await broker.close()


async def reach(batches: list[Batch], count: int) -> None:
    await until(lambda: len(batches) >= count, 30)


async def test_killed_server_loses_nothing_that_was_confirmed(
    broker: RedisBroker, broker_server: Valkey
) -> None:
    confirmed: list[Batch] = []
    stop = asyncio.Event()

    async def publisher() -> None:
        while not stop.is_set():
            one = batch(1, 2, 3)
            try:
                await broker.publish(one)
                confirmed.append(one)
            except Fault:
                await asyncio.sleep(0.01)

    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen), *(publisher() for _ in range(4))):
        for round_ in range(1, 3):
            await reach(confirmed, 50 * round_)
            await broker_server.stop(signal.SIGKILL)
            before = len(confirmed)
            await broker_server.start_again()
            await reach(confirmed, before + 1)
        stop.set()
        await until(lambda: {b.batch_id for b in confirmed} <= {b.batch_id for b in seen.batches})
        await empty(broker)
        await broker.publish(marker := batch())
    log = [b.batch_id async for b in broker.replay(SALE, marker.batch_id)]
    assert {b.batch_id for b in confirmed} <= set(log)


async def test_absent_server_is_down_at_once(broker: RedisBroker, broker_server: Valkey) -> None:
    await broker.publish(batch(1))
    await broker_server.stop(signal.SIGKILL)
    for _ in range(3):
        with pytest.raises((DependencyDown, OutcomeUnknown)):
            await broker.publish(batch(2))
    await refuses_every_call(broker)


async def test_hanging_server_means_outcome_unknown(
    broker: RedisBroker, broker_server: Valkey
) -> None:
    hasty = RedisBroker(broker_server.url, confirm_timeout_ms=1_000)

    async def connected() -> bool:
        with suppress(Fault):
            await hasty.publish(batch(1))
            return True
        return False

    await until(connected, 30)
    kill(broker_server.process.pid, signal.SIGSTOP)
    try:
        one = batch(2)
        started = asyncio.get_running_loop().time()
        with pytest.raises(OutcomeUnknown):
            await hasty.publish(one)
        assert 0.9 < asyncio.get_running_loop().time() - started < 15
    finally:
        kill(broker_server.process.pid, signal.SIGCONT)
        await hasty.close()
    # It is unknown indeed: this one had arrived.
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: one in seen.batches)
    await broker.publish(batch(3))


async def test_full_server_refuses_and_still_hands_out(run_dir: Path) -> None:
    server = await start_valkey(run_dir, "small", extra=("--maxmemory", "3mb"))
    broker = RedisBroker(server.url, prefetch=64)
    await broker.open(SALE)
    sent: list[Batch] = []
    big = list(range(10**9, 10**9 + 512))
    with pytest.raises(Overloaded, match="broker_oom"):
        for _ in range(10_000):
            sent.append(one := batch(*big))
            await broker.publish(one)
    refused = sent.pop()
    seen = Seen()
    async with running(broker.consume(SALE, "c1", seen)):
        await until(lambda: len(seen.batches) >= len(sent))
    assert refused not in seen.batches
    await broker.close()
    await server.stop()


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        ("OOM command not allowed when used memory > 'maxmemory'.", Overloaded),
        ("MISCONF Errors writing to the AOF file: No space left on device", Overloaded),
        ("NOREPLICAS Not enough good replicas to write.", Overloaded),
        ("LOADING Valkey is loading the dataset in memory", DependencyDown),
        ("READONLY You can't write against a read only replica.", DependencyDown),
        ("NOAUTH Authentication required.", DependencyDown),
    ],
)
def test_error_replies(reply: str, kind: type[Fault]) -> None:
    assert type(refusal(reply)) is kind


@asynccontextmanager
async def fake_server(path: Path, reply: bytes) -> AsyncIterator[Wire]:
    """A wire to something that answers the handshake, then `reply` to a command, and hangs up."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"PING\r\n")
        writer.write(b"+PONG\r\n")
        await reader.readuntil(b"XADD\r\n")
        writer.write(reply)
        writer.close()
        await writer.wait_closed()
        ended.set()

    server = await asyncio.start_unix_server(serve, str(path))
    wire = Wire(f"unix://{path}")
    yield wire
    await wire.close()
    await asyncio.wait_for(ended.wait(), 30)
    server.close()
    await server.wait_closed()


async def test_lost_connection_makes_all_on_the_way_unknown(run_dir: Path) -> None:
    async with fake_server(run_dir / "fake.sock", b"") as wire:
        calls = (wire.call("XADD", n, timeout_s=5) for n in range(3))
        answers = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(a) for a in answers] == [OutcomeUnknown] * 3
        await wire.close()
        with pytest.raises(DependencyDown):
            await wire.call("PING", timeout_s=5)


async def test_rubbish_replies_end_the_connection(run_dir: Path) -> None:
    async with fake_server(run_dir / "fake.sock", b"HTTP/1.1 400 Bad Request\r\n\r\n") as wire:
        with pytest.raises(OutcomeUnknown):
            await wire.call("XADD", timeout_s=5)


async def test_password_and_database(run_dir: Path) -> None:
    server = await start_valkey(run_dir, "db")
    admin = Wire(server.url)
    await admin.call("CONFIG", "SET", "requirepass", "geheim", timeout_s=5)
    await admin.close()
    for query, works in (("", False), ("?password=falsch", False), ("?password=geheim&db=3", True)):
        wire = Wire(server.url + query)
        if works:
            assert await wire.call("SET", "k", "v", timeout_s=5) == b"OK"
            keyspace = await wire.call("INFO", "keyspace", timeout_s=5)
            assert b"db3:" in keyspace
        else:
            with pytest.raises(DependencyDown):
                await wire.call("SET", "k", "v", timeout_s=5)
        await wire.close()
    await server.stop(signal.SIGKILL)


async def test_a_consumer_that_ends_leaves_its_batches_to_the_next_at_once(
    broker_server: Valkey,
) -> None:
    """Not when they have lain idle for so long as a dead consumer's do."""
    broker = RedisBroker(broker_server.url, reclaim_after_ms=120_000)
    await broker.open(SALE)
    await broker.publish(one := batch(1))
    taken = asyncio.Event()

    async def hang(batches: Sequence[Batch]) -> None:
        taken.set()
        await asyncio.Event().wait()

    async with running(broker.consume(SALE, "c1", hang)):
        await asyncio.wait_for(taken.wait(), 20)
    seen = Seen()
    async with running(broker.consume(SALE, "c2", seen)):
        await until(lambda: one in seen.batches, 20)
        await empty(broker)
    await broker.close()


async def test_certificates_are_checked_as_the_url_says(tmp_path: Path) -> None:
    authority, own = trustme.CA(), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(own)
    known = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(known))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                await reader.readuntil(b"PING\r\n")
                writer.write(b"+PONG\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "localhost", 0, ssl=own)
    url = f"rediss://localhost:{server.sockets[0].getsockname()[1]}"
    stranger, friend = Wire(url), Wire(f"{url}?ssl_ca_certs={known}")
    with pytest.raises(DependencyDown, match="CERTIFICATE_VERIFY_FAILED"):
        await stranger.call("PING", timeout_s=20)
    assert await friend.call("PING", timeout_s=20) == b"PONG"
    await friend.close()
    server.close()
    await server.wait_closed()


async def test_callers_that_give_up_do_not_shift_the_replies(broker: RedisBroker) -> None:
    calls: Sequence[asyncio.Task[None]] = [
        asyncio.ensure_future(broker.publish(batch(n))) for n in range(100)
    ]
    await asyncio.sleep(0)
    for call in calls[::2]:
        call.cancel()
    done = await asyncio.gather(*calls, return_exceptions=True)
    assert all(answer is None for answer in done[1::2])
    assert (await broker.pressure(SALE)).backlog >= 50


async def test_pressure_counts_when_the_server_cannot(broker: RedisBroker) -> None:
    for n in range(5):
        await broker.publish(batch(n))
    entries: Any = await broker._client.xrange(RedisRig.queue)
    await broker._client.xgroup_setid(RedisRig.queue, "consumers", entries[1][0])
    assert (await broker.pressure(SALE)).backlog == 3
