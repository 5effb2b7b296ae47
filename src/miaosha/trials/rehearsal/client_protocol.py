"""Client protocol: the JSON lines between the leader and a client process, both ways."""

import msgspec


class ClientPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One client process's part of a rehearsal.

    Attributes:
        first: number of its first socket; socket `n` is user `first_user + n`.
        rate_per_s: sockets it opens a second; 0: as fast as it can.
        targets: `host:port` of the servers, used in turn.
        sources: local addresses to come from, used in turn; empty: the kernel's choice.
        host: the Host header; with `tls` also the name asked for.
        tls: speak TLS, the certificate unchecked: a rehearsal sends nothing secret to anybody
            but the server it was pointed at.
        sale_id: what every socket watches; 0: nothing.
        watch_apart: it asks for that by an event once it is connected, not in the CONNECT.
        secret_keys: the platform's, to sign tokens with; empty: visitors without a token.
        issued_s: Unix seconds, of the tokens.
        handshake_s: a socket that is not there yet after so long is given up.
        in_flight_max: sockets between their connect and being ready.
        pause_s: how long a process lets its sockets be before it looks at them again.
    """

    first: int
    connections: int
    rate_per_s: float
    targets: list[str]
    sources: list[str]
    host: str
    sale_id: int
    watch_apart: bool = False
    path: str = "/socket.io/"
    tls: bool = False
    first_user: int = 1
    secret_keys: str = ""
    issued_s: int = 0
    handshake_s: float = 30.0
    in_flight_max: int = 256
    pause_s: float = 0.0
    seed: int = 1


class Said(msgspec.Struct, kw_only=True):
    """How far a client process is. Moments are seconds of this machine's monotonic clock.

    Attributes:
        ready: sockets that are connected and watch.
        settled_at: when the last socket of those wanted became ready; 0 while some are not.
        attempts: connections tried; `failed` of them by what went wrong.
        lost: sockets that were ready and were taken away, by how; they come back by themselves.
        gave_up: sockets that failed too often and are not tried again.
        arms: how often it was told to `arm`.
        pings: heartbeats answered. events: `sale` events seen.
        silence_s: the longest any socket waited from being ready, or a ping, for the next ping.
        reached, again: sockets that were told since the last `arm`, and those told twice.
        cpu_s: processor time of this process. memory: its private bytes.
    """

    ready: int = 0
    settled_at: float = 0.0
    attempts: int = 0
    gave_up: int = 0
    arms: int = 0
    pings: int = 0
    silence_s: float = 0.0
    events: int = 0
    reached: int = 0
    again: int = 0
    results: int = 0
    cpu_s: float = 0.0
    memory: int = 0
    failed: dict[str, int] = {}
    lost: dict[str, int] = {}


class Go(msgspec.Struct, frozen=True, tag="go"):
    """Begin to open sockets; until then a process only says that it is there."""


class Arm(msgspec.Struct, frozen=True, tag="arm"):
    """From now on, note when each socket gets a `sale` event that contains `marker`."""

    marker: str


class Tell(msgspec.Struct, frozen=True, tag="tell"):
    """Say the moments noted since the last of this: of the marker and of personal results."""


class Storm(msgspec.Struct, frozen=True, tag="storm"):
    """Drop `sockets` ready ones at once, and come back as fast as possible."""

    sockets: int


class Stop(msgspec.Struct, frozen=True, tag="stop"):
    """Close everything and end."""


Order = Go | Arm | Tell | Storm | Stop


class Moments(msgspec.Struct, frozen=True, kw_only=True, tag="moments"):
    """The answer to `tell`: arrays of float64 as bytes.

    Attributes:
        arrived: moments of the marker's arrival (monotonic seconds), one for each socket.
        latencies: seconds from the sending of each personal result to its arrival.
        connects: seconds from a TCP connect to being ready, of the sockets opened since.
    """

    arrived: bytes
    latencies: bytes
    connects: bytes


class ClientProgress(msgspec.Struct, frozen=True, kw_only=True, tag="progress"):
    said: Said


ClientReport = ClientProgress | Moments
