"""Readiness asked once for all who wait: whatever ends the round, each of them is answered."""

import asyncio

import pytest

from miaosha.sockets.handshake import Request
from miaosha.sockets.probes import Probes

READY = Request(b"GET", b"/readyz", {}, {}, b"1", 0)


class Slow:
    """A check that waits for `open`."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.asked = asyncio.Event()

    async def __call__(self) -> None:
        self.asked.set()
        await self.open.wait()


def asked(probes: Probes, count: int) -> list[bytes]:
    answers: list[bytes] = []
    for _ in range(count):
        probes.ask(READY, answers.append)
    return answers


async def ended(probes: Probes) -> None:
    async with asyncio.timeout(10):
        while probes._round is not None:  # noqa: ASYNC110
            await asyncio.sleep(0)


@pytest.mark.parametrize("begun", [False, True], ids=["before its first step", "under way"])
async def test_a_round_that_is_cut_off_answers_who_waited_and_the_next_begins(begun: bool) -> None:
    slow = Slow()
    probes = Probes({"slow": slow})
    answers = asked(probes, 3)
    if begun:
        await slow.asked.wait()
    assert probes._round is not None
    probes._round.cancel()
    await ended(probes)
    assert [answer.split(b" ")[1] for answer in answers] == [b"503"] * 3
    slow.open.set()
    answers = asked(probes, 2)
    await ended(probes)
    assert [answer.split(b" ")[1] for answer in answers] == [b"200"] * 2


async def test_one_who_cannot_be_answered_keeps_no_other_waiting() -> None:
    def torn(response: bytes) -> None:
        raise RuntimeError("torn")

    probes = Probes({})
    answers: list[bytes] = []
    probes.ask(READY, torn)
    probes.ask(READY, answers.append)
    await ended(probes)
    assert len(answers) == 1
