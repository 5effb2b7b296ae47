"""Catalogue: products and sales in SQL (`ports.catalogue.Catalogue`)."""

import re
from typing import Any

import msgspec
from sqlalchemy import (
    Connection,
    Integer,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    exists,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from miaosha.adapters.sql.database import AnyRow, Database, Rollback
from miaosha.adapters.sql.inserts import inserted_id
from miaosha.adapters.sql.sale_terms import RUNNING
from miaosha.adapters.sql.tables import ledger, products, sales
from miaosha.domain.errors import Problem
from miaosha.domain.money import Money
from miaosha.domain.picture import small_url
from miaosha.domain.sale import Mode, Phase, ProductView, Question, Sale
from miaosha.ports.catalogue import Product, SaleDraft, SalePage

SALES_MAX = 500  # of one page
PRODUCTS_MAX = 500  # of one page
_CURSOR = re.compile("[0-9]{1,18}")


def _product_terms(product: Product) -> dict[str, Any]:
    return {
        "name": product.name,
        "description": product.description,
        "amount": product.list_price.amount,
        "currency": product.list_price.currency,
    }


def _product(row: AnyRow) -> Product:
    return Product(
        id=row.id,
        name=row.name,
        description=row.description,
        picture_url=row.picture_url,
        list_price=Money(row.amount, row.currency),
    )


def _sale_values(draft: SaleDraft) -> dict[str, Any]:
    names = (
        "product_id",
        "title",
        "opens_at_ms",
        "closes_at_ms",
        "pay_within_s",
        "standby_pay_within_s",
        "standby_limit",
        "mode",
    )
    return {name: getattr(draft, name) for name in names} | {
        "amount": draft.price.amount,
        "currency": draft.price.currency,
        "questions": msgspec.json.encode(draft.questions).decode(),
    }


_SALES = (
    select(
        sales,
        ledger.c.stock,
        ledger.c.frozen,
        products.c.name,
        products.c.description,
        products.c.picture_url,
        products.c.amount.label("list_amount"),
        products.c.currency.label("list_currency"),
    )
    .join(ledger, ledger.c.sale_id == sales.c.id)
    .join(products, products.c.id == sales.c.product_id)
)
_ONE = _SALES.where(sales.c.id == bindparam("sale"))
_LIVE = _SALES.where(sales.c.phase.in_(RUNNING)).order_by(sales.c.id)
_SETTLED = (
    _SALES.where(sales.c.phase == Phase.SETTLED, sales.c.settled_at_ms >= bindparam("since_ms"))
    .order_by(sales.c.settled_at_ms.desc(), sales.c.id.desc())
    .limit(bindparam("n", type_=Integer))
)
_NEWEST = _SALES.order_by(sales.c.opens_at_ms.desc(), sales.c.id.desc())


def _sale(row: AnyRow) -> Sale:
    return Sale(
        id=row.id,
        title=row.title,
        mode=Mode(row.mode),
        phase=Phase(row.phase),
        product=ProductView(
            id=row.product_id,
            name=row.name,
            description=row.description,
            picture_url=row.picture_url,
            list_price=Money(row.list_amount, row.list_currency),
            picture_small_url=small_url(row.picture_url),
        ),
        price=Money(row.amount, row.currency),
        stock=row.stock,
        opens_at_ms=row.opens_at_ms,
        closes_at_ms=row.closes_at_ms,
        pay_within_s=row.pay_within_s,
        standby_pay_within_s=row.standby_pay_within_s,
        standby_limit=row.standby_limit,
        questions=msgspec.json.decode(row.questions, type=list[Question]),
        frozen=row.frozen,
        settled_at_ms=row.settled_at_ms,
    )


def _read_sale(connection: Connection, sale_id: int) -> Sale | None:
    row = connection.execute(_ONE, {"sale": sale_id}).first()
    return _sale(row) if row else None


class SqlCatalogue:
    def __init__(self, db: Database) -> None:
        self._db = db

    # products

    async def create_product(self, product: Product) -> Product:
        statement = insert(products).values(
            picture_url=product.picture_url, **_product_terms(product)
        )
        product_id = await self._db.write(lambda c: inserted_id(c, statement))
        return msgspec.structs.replace(product, id=product_id)

    async def update_product(self, product: Product, was: Product | None = None) -> Product | None:
        statement = update(products).values(**_product_terms(product))
        if was is not None:
            same = (products.c[name] == value for name, value in _product_terms(was).items())
            statement = statement.where(*same)
        return await self._change_product(product.id, statement)

    async def set_picture(self, product_id: int, url: str) -> Product | None:
        return await self._change_product(product_id, update(products).values(picture_url=url))

    async def _change_product(self, product_id: int, statement: Update) -> Product | None:
        mine = products.c.id == product_id

        def unit(connection: Connection) -> Product | None:
            if connection.execute(statement.where(mine)).rowcount == 0:
                return None
            return _product(connection.execute(select(products).where(mine)).one())

        return await self._db.write(unit)

    async def delete_product(self, product_id: int) -> bool:
        used = exists().where(sales.c.product_id == product_id)
        statement = delete(products).where(products.c.id == product_id, ~used)
        present = select(products.c.id).where(products.c.id == product_id)

        def unit(connection: Connection) -> bool:
            if connection.execute(statement).rowcount:
                return True
            if connection.execute(present).first():
                raise Problem("conflict", "a sale uses this product")
            return False

        try:
            return await self._db.write(unit)
        except IntegrityError:  # a sale was made of it at the same moment
            raise Problem("conflict", "a sale uses this product") from None

    async def product(self, product_id: int) -> Product | None:
        query = select(products).where(products.c.id == product_id)
        row = await self._db.read(lambda connection: connection.execute(query).first())
        return _product(row) if row else None

    async def products(self, before_id: int | None, limit: int) -> list[Product]:
        """At most `PRODUCTS_MAX`."""
        query = select(products).order_by(products.c.id.desc()).limit(min(limit, PRODUCTS_MAX))
        if before_id is not None:
            query = query.where(products.c.id < before_id)
        return await self._db.read(lambda c: [_product(row) for row in c.execute(query)])

    # sales

    async def create_sale(self, draft: SaleDraft, phase: Phase) -> Sale:
        """Raises Problem("bad_request") if there is no such product."""
        assert phase in (Phase.DRAFT, Phase.SCHEDULED), phase

        def unit(connection: Connection) -> Sale | None:
            statement = insert(sales).values(phase=phase, **_sale_values(draft))
            sale_id = inserted_id(connection, statement)
            row = {"sale_id": sale_id, "epoch": 0, "granted": 0, "sold": 0, "stock": draft.stock}
            connection.execute(insert(ledger).values(**row))
            return _read_sale(connection, sale_id)

        sale = await self._write_sale(unit)
        assert sale is not None
        return sale

    async def _write_sale(self, unit: Any) -> Sale | None:
        try:
            sale: Sale | None = await self._db.write(unit)
            return sale
        except IntegrityError:
            raise Problem("bad_request", "no such product", field="product_id") from None

    async def update_sale(
        self, sale_id: int, draft: SaleDraft, was: SaleDraft | None = None
    ) -> Sale | None:
        terms = (
            update(sales)
            .where(sales.c.id == sale_id)
            .where(or_(sales.c.phase == Phase.DRAFT, sales.c.phase == Phase.SCHEDULED))
            .values(**_sale_values(draft))
        )
        if was is not None:
            terms = terms.where(*(sales.c[k] == v for k, v in _sale_values(was).items()))
        stock = (
            update(ledger)
            .where(ledger.c.sale_id == sale_id, ledger.c.epoch == 0)  # 0: not armed yet
            .values(stock=draft.stock)
        )
        if was is not None:
            stock = stock.where(ledger.c.stock == was.stock)

        def unit(connection: Connection) -> Sale | None:
            for statement in (stock, terms):
                if connection.execute(statement).rowcount == 0:
                    raise Rollback(None)
            return _read_sale(connection, sale_id)

        return await self._write_sale(unit)

    async def delete_sale(self, sale_id: int) -> bool:
        draft = exists().where(sales.c.id == sale_id, sales.c.phase == Phase.DRAFT)
        parts = (
            delete(ledger).where(ledger.c.sale_id == sale_id, draft),
            delete(sales).where(sales.c.id == sale_id, sales.c.phase == Phase.DRAFT),
        )

        def unit(connection: Connection) -> bool:
            for statement in parts:
                if connection.execute(statement).rowcount == 0:
                    raise Rollback(False)
            return True

        return await self._db.write(unit)

    async def sale(self, sale_id: int) -> Sale | None:
        return await self._db.read(lambda connection: _read_sale(connection, sale_id))

    async def live(self) -> list[Sale]:
        return await self._read_sales(_LIVE)

    async def settled(self, limit: int, since_ms: int = 0) -> list[Sale]:
        return await self._read_sales(_SETTLED, {"n": limit, "since_ms": since_ms})

    async def sales(self, cursor: str | None, limit: int) -> SalePage:
        """At most `SALES_MAX` a page."""
        limit = min(max(limit, 1), SALES_MAX)
        query = _NEWEST.limit(limit + 1)
        if cursor:
            query = query.where(_after(cursor))
        items = await self._read_sales(query)
        last = items[limit - 1] if len(items) > limit else None
        following = f"{last.opens_at_ms}.{last.id}" if last else None
        return SalePage(items[:limit], following)

    async def _read_sales(self, query: Select[Any], values: Any = None) -> list[Sale]:
        return await self._db.read(lambda c: [_sale(row) for row in c.execute(query, values)])


def _after(cursor: str) -> Any:
    """The sales that follow one in the order of the list. Raises Problem("bad_request")."""
    opens, _, sale_id = cursor.partition(".")
    if not (_CURSOR.fullmatch(opens) and _CURSOR.fullmatch(sale_id)):
        raise Problem("bad_request", "this cursor is not one we gave", field="cursor")
    at_ms, id_ = int(opens), int(sale_id)
    same_time = and_(sales.c.opens_at_ms == at_ms, sales.c.id < id_)
    return or_(sales.c.opens_at_ms < at_ms, same_time)
