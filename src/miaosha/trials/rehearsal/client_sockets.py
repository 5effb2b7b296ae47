"""Client sockets: many Socket.IO sessions in one thread, from the upgrade to pings and events.

Arrays indexed by the descriptor hold a socket's state, so that a million sockets leave the memory
to the servers. A socket that fails or is lost is opened again after a random pause.
"""

import re
import select
import time
from array import array
from enum import IntEnum
from typing import Final

import msgspec

from miaosha.trials.rehearsal import client_wire, failure_kinds
from miaosha.trials.rehearsal.client_protocol import ClientPlan, Said
from miaosha.trials.rehearsal.connect_schedule import ConnectSchedule
from miaosha.trials.rehearsal.failure_kinds import Failed
from miaosha.trials.rehearsal.token_mint import minting

OPENED_AT_ONCE: Final = 64
LOOKED_AT_PER_S: Final = 4_000  # sockets that may have fallen silent
SPARE: Final = 256  # descriptors of everything else
SILENCE_S: Final = 1.0  # for our own slowness, beyond what the server was told it may take
PONG: Final = client_wire.frame(b"3")
PING: Final = b"\x81\x012"
RESULT: Final = b'42["result"'
SALE: Final = b'42["sale"'
WATCHED: Final = b'42["watched"'
SENT_AT: Final = re.compile(rb'"request_id":"sent-(\d+)')


class SocketStage(IntEnum):
    NONE = 0
    DIALLING = 1
    SECURING = 2
    UPGRADING = 3
    OPENING = 4
    CONNECTING = 5
    WATCHING = 6
    READY = 7


class ClientSockets:
    """The sockets of one plan. `said` is what is known of them so far."""

    def __init__(self, plan: ClientPlan) -> None:
        self.said = Said()
        self.arrived = array("d")
        self.latencies = array("d")
        self.connects = array("d")
        self.epoll = select.epoll()
        self._plan = plan
        self._wires = client_wire.Wires(tls=plan.tls, host=plan.host)
        self._token = minting(plan.secret_keys, plan.issued_s)
        self._upgrade = client_wire.upgrade(plan.host, plan.path)
        seed = f"{plan.seed}:{plan.first}"
        self._schedule = ConnectSchedule(plan.connections, plan.rate_per_s, seed)
        room = plan.connections + SPARE
        self._stage, self._told = bytearray(room), bytearray(room)  # told: of the last `arm`
        self._number = array("I", bytes(4 * room))
        self._began = array("d", bytes(8 * room))
        self._heard = array("d", bytes(8 * room))
        self._rest: dict[int, bytes] = {}
        self._in_flight = 0
        self._round = 0  # which `arm`
        self._marker = b""
        self._patience_s = 0.0  # of a ready socket without a ping; 0: not known yet
        self._next_look = 0.0

    # orders

    def arm(self, marker: str) -> None:
        self._round = self._round % 255 + 1
        self._marker = marker.encode()
        self.said.reached = self.said.again = 0
        self.said.arms += 1
        self.arrived = array("d")

    def storm(self, sockets: int) -> None:
        """Drop the first ready sockets, and come back without pacing."""
        self._marker = b""  # what is told on the way back is no broadcast
        self._schedule.unpaced()
        self.said.settled_at = 0.0
        ready = [fd for fd, stage in enumerate(self._stage) if stage == SocketStage.READY]
        for fd in ready[:sockets]:
            self._schedule.at_once(self._number[fd])
            self._close(fd)

    def close(self) -> None:
        for fd in [fd for fd, stage in enumerate(self._stage) if stage]:
            self._close(fd)

    # turns

    def pause_s(self) -> float:
        """How long nothing is due."""
        if self._schedule.waiting:
            return 0.001 if self._in_flight < self._plan.in_flight_max else 0.05
        return 0.25

    def turn(self, now: float) -> None:
        """Open what is due, and look after those that have fallen silent."""
        room = min(OPENED_AT_ONCE, self._plan.in_flight_max - self._in_flight)
        for number in self._schedule.take(room, now):
            self._open(number, now)
        if now >= self._next_look:
            self._next_look = now + max(1.0, self._plan.connections / LOOKED_AT_PER_S)
            self._look(now)

    def _open(self, number: int, now: float) -> None:
        plan, place = self._plan, self._plan.first + number
        self.said.attempts += 1
        target = plan.targets[place % len(plan.targets)]
        source = plan.sources[place % len(plan.sources)] if plan.sources else ""
        try:
            fd = self._wires.open(target, source)
        except OSError as error:
            self._retry(number, f"connect: {failure_kinds.of_error(error)}", 0.0)
            return
        if fd >= len(self._stage):  # somebody else's descriptors
            self._wires.close(fd)
            self._retry(number, "connect: too many descriptors", 0.0)
            return
        self._stage[fd] = SocketStage.DIALLING
        self._number[fd], self._told[fd] = number, self._round
        self._began[fd] = self._heard[fd] = now
        self._in_flight += 1
        self.epoll.register(fd, select.EPOLLOUT)

    def _look(self, now: float) -> None:
        handshake_s, patience_s = self._plan.handshake_s, self._patience_s
        for fd, stage in enumerate(self._stage):
            if not stage:
                continue
            silent_s = now - self._heard[fd]
            if stage != SocketStage.READY and silent_s > handshake_s:
                self._ended(fd, "no answer")
            elif stage == SocketStage.READY and patience_s and silent_s > patience_s:
                self.happened(fd, now)  # it may be us who did not look
                if self._stage[fd] == SocketStage.READY and now - self._heard[fd] > patience_s:
                    self._ended(fd, "no ping")

    # events

    def happened(self, fd: int, now: float) -> None:
        """Something can be read from (or, while it connects, written to) a descriptor."""
        stage = self._stage[fd]
        if not stage:
            return  # closed in this very turn
        try:
            if stage <= SocketStage.SECURING:
                self._dial(fd, stage)
                return
            data = self._wires.read(fd)
            if data == PING and stage == SocketStage.READY and fd not in self._rest:
                self._pong(fd, now)
            elif data:
                self._take(fd, data, now)
            else:
                raise Failed("closed without a word")
        except BlockingIOError:
            return
        except Failed as failed:
            self._ended(fd, str(failed), failed.retry_after_s)
        except client_wire.Garbage as error:
            self._ended(fd, f"garbage: {error}")
        except OSError as error:
            self._ended(fd, failure_kinds.of_error(error))

    def _dial(self, fd: int, stage: int) -> None:
        if stage == SocketStage.DIALLING:
            self._wires.established(fd)
            self._stage[fd] = SocketStage.SECURING
            self.epoll.modify(fd, select.EPOLLIN)
        if self._wires.secure(fd):
            self._stage[fd] = SocketStage.UPGRADING
            self._wires.write(fd, self._upgrade)

    def _pong(self, fd: int, now: float) -> None:
        self.said.silence_s = max(self.said.silence_s, now - self._heard[fd])
        self._heard[fd] = now
        self.said.pings += 1
        self._wires.write(fd, PONG)

    def _take(self, fd: int, data: bytes, now: float) -> None:
        data = self._rest.pop(fd, b"") + data
        if self._stage[fd] == SocketStage.UPGRADING:
            head, end, data = data.partition(b"\r\n\r\n")
            if not end:
                self._keep(fd, head)
                return
            failure_kinds.check_upgrade(head)
            self._stage[fd] = SocketStage.OPENING
        frames, rest = client_wire.split(data)
        for opcode, payload in frames:
            if opcode == client_wire.TEXT:
                self._packet(fd, payload, now)
            elif opcode == client_wire.PING:
                self._wires.write(fd, client_wire.frame(payload, client_wire.PONG))
            elif opcode == client_wire.CLOSE:
                raise Failed(failure_kinds.of_close(payload))
        if rest:
            self._keep(fd, rest)

    def _keep(self, fd: int, rest: bytes) -> None:
        if len(rest) > client_wire.REST_MAX:
            raise Failed("garbage: no end")
        self._rest[fd] = rest

    def _packet(self, fd: int, packet: bytes, now: float) -> None:
        kind = packet[:2]
        stage = self._stage[fd]
        if packet == b"2":
            self._pong(fd, now)
        elif kind == b"42":
            self._event(fd, packet, now)
        elif stage == SocketStage.OPENING and packet[:1] == b"0":
            self._connect(fd, packet)
        elif stage == SocketStage.CONNECTING and kind == b"40":
            self._stage[fd] = SocketStage.WATCHING
            if not self._plan.sale_id:
                self._ready(fd, now)
            elif self._plan.watch_apart:
                self._wires.write(fd, client_wire.watch(self._plan.sale_id))
        elif stage == SocketStage.WATCHING and kind == b"43":
            self._watched(fd, packet, now)
        elif kind == b"44":
            raise failure_kinds.of_refusal("connect", packet)
        elif kind == b"41" or packet == b"1":
            raise Failed("disconnected by the server")

    def _connect(self, fd: int, packet: bytes) -> None:
        if not self._patience_s:
            told = msgspec.json.decode(packet[1:])
            self._patience_s = (told["pingInterval"] + told["pingTimeout"]) / 1000 + SILENCE_S
        self._stage[fd] = SocketStage.CONNECTING
        plan = self._plan
        token = self._token(plan.first_user + plan.first + self._number[fd])
        self._wires.write(fd, client_wire.connect(token, 0 if plan.watch_apart else plan.sale_id))

    def _watched(self, fd: int, packet: bytes, now: float) -> None:
        """What an acknowledgement, or the event `watched`, says."""
        if b'"ok":true' not in packet:
            raise failure_kinds.of_refusal("watch", packet)
        self._ready(fd, now)

    def _ready(self, fd: int, now: float) -> None:
        self._stage[fd] = SocketStage.READY
        self._heard[fd] = now
        self._in_flight -= 1
        self._schedule.worked(self._number[fd])
        self.connects.append(now - self._began[fd])
        said = self.said
        said.ready += 1
        if said.ready + said.gave_up == self._plan.connections:
            said.settled_at = time.monotonic()

    def _event(self, fd: int, packet: bytes, now: float) -> None:
        if packet.startswith(RESULT):
            if found := SENT_AT.search(packet):
                self.said.results += 1
                self.latencies.append(time.monotonic() - int(found[1]) / 1e6)
        elif packet.startswith(SALE):
            self.said.events += 1
            if self._marker and self._marker in packet:
                if self._told[fd] != self._round:
                    self._told[fd] = self._round
                    self.said.reached += 1
                    self.arrived.append(time.monotonic())
                else:
                    self.said.again += 1
        elif self._stage[fd] == SocketStage.WATCHING and packet.startswith(WATCHED):
            self._watched(fd, packet, now)

    # endings

    def _ended(self, fd: int, kind: str, retry_after_s: float = 0.0) -> None:
        number, ready = self._number[fd], self._stage[fd] == SocketStage.READY
        self._close(fd)
        if ready:
            failure_kinds.count(self.said.lost, kind)
            self.said.settled_at = 0.0
            self._schedule.later(number)
        else:
            self._retry(number, kind, retry_after_s)

    def _retry(self, number: int, kind: str, retry_after_s: float) -> None:
        failure_kinds.count(self.said.failed, kind)
        if not self._schedule.failed(number, retry_after_s):
            self.said.gave_up += 1

    def _close(self, fd: int) -> None:
        ready = self._stage[fd] == SocketStage.READY
        self.said.ready -= ready
        self._in_flight -= not ready
        self._stage[fd] = SocketStage.NONE
        self._rest.pop(fd, None)
        self._wires.close(fd)
