"""Store server: Redis as the laboratory has it, with its restarts and losses.

What it does sale by sale is in `tests/lab/store_scripts.py`. Here are the board, the heartbeats and
what the laboratory makes happen to all of it. After each of these the run id is another one.
"""

from collections import deque
from collections.abc import Callable
from typing import Final, NamedTuple

from tests.lab.kept_sale import KeptSale
from tests.lab.store_scripts import StoreScripts

JOURNAL_MAX: Final = 256  # writes that a failover can lose
SCAN_PAGE: Final = 500  # entries of one page of a scan


class BoardTexts(NamedTuple):
    """The board as it was written; `sales` are JSON."""

    written_ms: int
    version: str
    sales: tuple[bytes, ...]


class _Save(NamedTuple):
    sales: dict[int, KeptSale]
    board: BoardTexts | None
    heartbeats: dict[str, bytes]


class StoreServer(StoreScripts):
    """See the module, and StoreScripts for its arguments."""

    def __init__(self, now_ms: Callable[[], int], *, scan_page: int = SCAN_PAGE) -> None:
        super().__init__(now_ms, scan_page)
        self.board: BoardTexts | None = None
        self.heartbeats: dict[str, bytes] = {}
        self._beats_until_ms = 0
        self.writes = 0  # of sales
        self._saved = _Save({}, None, {})
        self._journal: deque[tuple[int, Callable[[], None]]] = deque(maxlen=JOURNAL_MAX)
        self._starts = 0
        self.restart()

    # what the laboratory causes

    def restart(self) -> None:
        """Everything is kept; the run id is new."""
        self._starts += 1
        self.run_id = f"{self._starts:040x}"

    def forget(self) -> None:
        """It comes back with nothing."""
        self.sales, self.board, self.heartbeats = {}, None, {}
        self._journal.clear()
        self.restart()

    def save(self) -> None:
        """Remember everything as it is now, for `set_back`."""
        sales = {sale_id: sale.copy() for sale_id, sale in self.sales.items()}
        self._saved = _Save(sales, self.board, dict(self.heartbeats))

    def set_back(self) -> None:
        """It comes back with what `save` remembered last; with nothing if that was never called."""
        self.sales = {sale_id: sale.copy() for sale_id, sale in self._saved.sales.items()}
        self.board, self.heartbeats = self._saved.board, dict(self._saved.heartbeats)
        self._journal.clear()
        self.restart()

    def fail_over(self, *, writes: int = 0, ms: int = 0) -> int:
        """A replica takes over that lacks the last writes: so many of them, and those of the last
        `ms`. Returns how many are lost, of JOURNAL_MAX at most (heartbeats are not counted)."""
        lost, since_ms = 0, self.now_ms() - ms
        while self._journal and (lost < writes or (ms and self._journal[-1][0] > since_ms)):
            _, undo = self._journal.pop()
            undo()
            lost += 1
        self.restart()
        return lost

    def wrote(self, sale_id: int, before: KeptSale | None) -> None:
        self.writes += 1

        def undo() -> None:
            if before is None:
                self.sales.pop(sale_id, None)
            else:
                self.sales[sale_id] = before

        self._journal.append((self.now_ms(), undo))

    # beside the sales

    def write_board(self, version: str, sales: tuple[bytes, ...]) -> None:
        before = self.board

        def undo() -> None:
            self.board = before

        self.board = BoardTexts(self.now_ms(), version, sales)
        self._journal.append((self.now_ms(), undo))

    def beat(self, field: str, text: bytes, kept_ms: int) -> None:
        """The hash goes `kept_ms` after its last beat, by this server's clock."""
        self.heartbeats = self.beats() | {field: text}
        self._beats_until_ms = self.now_ms() + kept_ms

    def beats(self) -> dict[str, bytes]:
        if self.now_ms() >= self._beats_until_ms:
            self.heartbeats = {}
        return dict(self.heartbeats)

    def still(self, fields: tuple[str, ...]) -> None:
        """Take off the beats of those that fell silent."""
        self.heartbeats = {f: text for f, text in self.heartbeats.items() if f not in fields}
