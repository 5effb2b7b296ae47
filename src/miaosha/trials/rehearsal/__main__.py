"""Client process: `python -m miaosha.trials.rehearsal PLAN` holds the sockets of one plan.

Orders come as lines on standard input; its end means stop. Every half second a line on standard
output says how far the process is. Another line answers `tell`.
"""

import contextlib
import gc
import os
import resource
import select
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from miaosha.supervisor.machine.usage import private_bytes
from miaosha.trials.rehearsal.client_protocol import (
    Arm,
    ClientPlan,
    ClientProgress,
    ClientReport,
    Go,
    Moments,
    Order,
    Stop,
    Storm,
    Tell,
)
from miaosha.trials.rehearsal.client_sockets import ClientSockets

SAY_S: Final = 0.5
URGENT: Final = -10  # niceness: who measures must not wait for the measured
EVENTS_MAX: Final = 512  # looked at before orders and new sockets get their turn
_decode = msgspec.json.Decoder(Order).decode


class Listener:
    """Orders from standard input, without waiting for them."""

    def __init__(self, sockets: ClientSockets) -> None:
        self.fd = sys.stdin.fileno()
        self.going = False
        self.over = False
        self.asked = False  # an answer is waited for
        self._sockets = sockets
        self._rest = b""
        os.set_blocking(self.fd, False)
        sockets.epoll.register(self.fd, select.EPOLLIN)

    def heard(self) -> None:
        data = os.read(self.fd, 65_536)
        self.over = self.over or not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._obey(_decode(line))

    def _obey(self, order: Order) -> None:
        sockets = self._sockets
        match order:
            case Go():
                self.going = True
            case Arm(marker):
                sockets.arm(marker)
                self.asked = True
            case Storm(count):
                sockets.storm(count)
            case Tell():
                _tell(sockets)
            case Stop():
                self.over = True


def _tell(sockets: ClientSockets) -> None:
    _say(
        Moments(
            arrived=sockets.arrived.tobytes(),
            latencies=sockets.latencies.tobytes(),
            connects=sockets.connects.tobytes(),
        )
    )
    for noted in (sockets.arrived, sockets.latencies, sockets.connects):
        del noted[:]


def _say(line: ClientReport) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(line) + b"\n")
    sys.stdout.buffer.flush()


def rehearse(plan: ClientPlan) -> None:
    """Hold the sockets of `plan` until told to stop.

    Looks at them every `pause_s`. A process that wakes up for every single message would take the
    processor away from the servers each time. Clients on machines of their own do not.
    """
    sockets = ClientSockets(plan)
    listener = Listener(sockets)
    gc.freeze()
    gc.disable()  # nothing here is cyclic
    say_at = 0.0
    while not listener.over:
        now = time.monotonic()
        if listener.going:
            sockets.turn(now)
        if now >= say_at or listener.asked:
            listener.asked = False
            say_at = now + SAY_S
            sockets.said.cpu_s = time.process_time()
            sockets.said.memory = private_bytes(os.getpid())
            _say(ClientProgress(said=sockets.said))
        pause_s = sockets.pause_s() if listener.going else SAY_S
        happened = sockets.epoll.poll(pause_s, EVENTS_MAX)
        now = time.monotonic()
        for fd, _ in happened:
            if fd == listener.fd:
                listener.heard()
            else:
                sockets.happened(fd, now)
        if len(happened) < EVENTS_MAX:
            time.sleep(max(0.0, now + plan.pause_s - time.monotonic()))
    sockets.close()


def main(path: str) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with contextlib.suppress(
        OSError
    ):  # not ours to take: then a busy machine reads as a slow server
        os.nice(URGENT)
    plan = msgspec.msgpack.decode(Path(path).read_bytes(), type=ClientPlan)
    Path(path).unlink()  # it holds the platform's keys
    rehearse(plan)


if __name__ == "__main__":
    main(sys.argv[1])
