"""Hold rows: rows of `holds` as the port knows them, and every read of them."""

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, select

from miaosha.adapters.sql.database import AnyRow, primary_key_only
from miaosha.adapters.sql.tables import holds
from miaosha.domain.reservation import HoldState
from miaosha.ports.holds import Hold

RIDS_MAX = 512  # request ids in one statement
COLUMNS = [holds.c[name] for name in Hold._fields]

_ONE = select(*COLUMNS).where(holds.c.rid == bindparam("rid"))
_READ = select(*COLUMNS).where(holds.c.rid.in_(bindparam("rids", expanding=True)))
_LOCK = primary_key_only(_READ.order_by(holds.c.rid).with_for_update(), holds)


def hold_of(row: AnyRow) -> Hold:
    """`row` starts with `COLUMNS`."""
    hold = Hold(*row[: len(COLUMNS)])
    return hold._replace(state=HoldState(hold.state))


def read_hold(connection: Connection, rid: str) -> Hold | None:
    row = connection.execute(_ONE, {"rid": rid}).first()
    return hold_of(row) if row else None


def read_holds(connection: Connection, rids: Sequence[str]) -> dict[str, Hold]:
    found: dict[str, Hold] = {}
    for start in range(0, len(rids), RIDS_MAX):
        rows = connection.execute(_READ, {"rids": rids[start : start + RIDS_MAX]})
        found.update((row.rid, hold_of(row)) for row in rows)
    return found


def lock_holds(connection: Connection, rids: Sequence[str]) -> dict[str, Hold]:
    """The rows as they are, held until the transaction ends; in one order, so that two who lock
    several do not deadlock."""
    return {row.rid: hold_of(row) for row in connection.execute(_LOCK, {"rids": rids})}
