"""A board as a store without a server would answer it."""

import hashlib
from collections.abc import Mapping

import msgspec

from miaosha.domain.sale import Sale
from miaosha.ports.store import SaleBoard


def board_of(sales: Mapping[int, Sale] | None, seen: SaleBoard | None = None) -> SaleBoard | None:
    """What `StockStore.read_sales` answers where the board holds `sales`."""
    if sales is None:
        return None
    version = hashlib.sha256(msgspec.json.encode(sales)).hexdigest()
    return seen if seen is not None and seen.version == version else SaleBoard(version, dict(sales))
