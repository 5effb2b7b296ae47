"""Hang detector: notices that a process which runs has stopped living.

A process lives as long as it gives a sign: a beat, or an answer. One that has given none for
`silence_s` seconds of this process's steady clock is hung. One that starts has STARTS_WITHIN times
as long. Two silences say nothing about a process. In the first this process was away itself: the
machine slept, or was short of processor time. In the second all are silent at once. The steady
clock of Linux stands still while the machine is suspended.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Final

from miaosha.serving.alive import STARTS_WITHIN
from miaosha.supervisor.watches import Tell, say


class Life(Enum):
    """What a sign says."""

    NONE = 0
    STARTING = 1
    ALIVE = 2


Sign = Callable[[], Awaitable[Life]]

LOOKS: Final = 15  # at a process within its `silence_s`
SIGN_MAX_S: Final = 3.0  # one look waits for a sign this long at most
SHARE: Final = 3  # a look waits for a sign, and a turn may be late, by this share of `silence_s`
SAY_AGAIN_S: Final = 60.0


class HangDetector:
    """Watches processes of one kind, each by a call of `until_hung`.

    Args:
        silence_s: seconds of silence that are too many.
        tell: hears that all are silent at once.
        monotonic: seconds of a steady clock.
    """

    def __init__(
        self,
        silence_s: float,
        tell: Tell,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.silence_s = silence_s
        self._tell = tell
        self._monotonic = monotonic
        self._heard: dict[object, float] = {}  # the last sign of each that has given one
        self._said_at = float("-inf")

    async def until_hung(self, sign: Sign) -> None:
        """Returns when the process is hung.

        Args:
            sign: asked for a sign of life. One that raises gives none.
        """
        me = object()
        try:
            await self._watch(me, sign)
        finally:
            self._heard.pop(me, None)

    async def _watch(self, me: object, sign: Sign) -> None:
        silence_s = self.silence_s
        look_s = silence_s / LOOKS
        sign_s = min(SIGN_MAX_S, silence_s / SHARE)
        late_s = look_s + sign_s + silence_s / SHARE
        patience_s = silence_s * STARTS_WITHIN
        turned = heard = self._monotonic()
        while True:
            await asyncio.sleep(look_s)
            life = await _given(sign, sign_s)
            now = self._monotonic()
            if life is Life.ALIVE:
                self._heard[me] = now
                patience_s = silence_s
            if life is not Life.NONE or now - turned > late_s:
                heard = now
            turned = now
            if now - heard >= patience_s and self._others_live(me, now - silence_s / 2):
                return

    def _others_live(self, me: object, since: float) -> bool:
        """Whether another one has given a sign since then; also if there is no other one."""
        others = [heard for one, heard in self._heard.items() if one is not me]
        if not others or max(others) >= since:
            return True
        if self._monotonic() - self._said_at > SAY_AGAIN_S:
            self._said_at = self._monotonic()
            say(self._tell, "!! all processes are silent at once: none is killed for it")
        return False


async def _given(sign: Sign, within_s: float) -> Life:
    try:
        async with asyncio.timeout(within_s):
            return await sign()
    except Exception:
        return Life.NONE
