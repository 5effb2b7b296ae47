"""Broker server: the laboratory's broker, one of two kinds, and the faults it is made to have.

A client of it (`tests/lab/broker`) calls it through its link. The laboratory calls what is here, at
once. A process that dies has to be disconnected by whoever killed it.
"""

from collections.abc import Callable
from typing import Final, Literal

from tests.lab.broker_single import SingleServer, queue_name
from tests.lab.broker_streams import StreamsServer, requests_key

Kind = Literal["streams", "single"]

COUNTED_S: Final = 5.0  # seconds between two countings of a log's length


class BrokerServer:
    """Args:
    kind: `streams` as Redis: several consumers share a sale's batches, each batch stays with
        its consumer by name. `single` as RabbitMQ: one consumer of a sale at a time, all
        it has in hand comes again in order when its connection ends.
    counted_s: of `single`: how old what it says of a log's length may be, in seconds.
    lingers_s: of `single`: seconds until it finds out that a client is gone that could not say
        so; asked for each. Until then nobody else has its place, nor what it was lent.

    Attributes:
        inside: what clients call.
    """

    def __init__(
        self,
        kind: Kind,
        *,
        counted_s: float = COUNTED_S,
        lingers_s: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.kind: Final[Kind] = kind
        self.inside: Final = (
            StreamsServer() if kind == "streams" else SingleServer(counted_s, lingers_s)
        )

    def queue(self, sale_id: int) -> str:
        """What the sale's queue is called."""
        return requests_key(sale_id) if self.kind == "streams" else queue_name(sale_id)

    def redeliver(self, sale_id: int) -> None:
        """What is in hand comes again, to anyone, while it may still be handled."""
        self.inside.redeliver(sale_id)

    def duplicate(self, sale_id: int) -> bool:
        """The sale's last batch stands in queue and log once more. False if there is none."""
        return self.inside.duplicate(sale_id)

    def tear(self, sale_id: int) -> None:
        """Of `single` alone: the next batch published gets into the log, not into the queue, and
        its publisher is not told. Streams have one place for both: nothing happens."""
        if isinstance(self.inside, SingleServer):
            self.inside.tear(sale_id)

    def hasten_reminders(self) -> None:
        """All that wait are due now: early."""
        self.inside.hasten_reminders()

    def delay_reminders(self, ms: int) -> None:
        """All that wait are due later."""
        self.inside.delay_reminders(ms)

    def repeat_reminders(self) -> None:
        """Those handled lately are due once more."""
        self.inside.repeat_reminders()

    def restart(self) -> None:
        """All connections end. What was confirmed stays."""
        self.inside.restart()

    def end_forsaken(self) -> None:
        """It finds out about all that are gone."""
        if isinstance(self.inside, SingleServer):
            self.inside.end_forsaken()

    def disconnect(self, who: object) -> None:
        """The connections of a client (a LabBroker), or of every consumer of that name, end."""
        self.inside.disconnect(who)
