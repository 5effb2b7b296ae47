"""Products: what an admin does with them and their pictures; every change is in the trail."""

import hashlib
import re
from collections.abc import Sequence
from typing import Final, Protocol

from miaosha.domain.errors import Problem
from miaosha.domain.fields import check_money, plain_line, plain_text
from miaosha.domain.fingerprint import fingerprint
from miaosha.domain.money import Money
from miaosha.domain.picture import file_names, small_url
from miaosha.ports.catalogue import Catalogue, Product
from miaosha.ports.clock import Clock
from miaosha.ports.files import Files
from miaosha.ports.pictures import PICTURE_MAX_BYTES, Pictures
from miaosha.ports.trail import Trail

NAME_MAX: Final = 200
DESCRIPTION_MAX: Final = 4_000
_STORED = re.compile(r"(products|pictures)/[^/]+$")


class BoardWriter(Protocol):
    async def refresh_board(self) -> None: ...


class Products:
    def __init__(
        self,
        catalogue: Catalogue,
        trail: Trail,
        files: Files,
        pictures: Pictures,
        board: BoardWriter,
        clock: Clock,
    ) -> None:
        self._catalogue = catalogue
        self._trail = trail
        self._files = files
        self._pictures = pictures
        self._board = board
        self._clock = clock

    async def page(self, before_id: int | None, limit: int) -> Sequence[Product]:
        """The newest `limit` of them, with `before_id` of those made before that one."""
        return await self._catalogue.products(before_id, limit)

    async def get(self, product_id: int) -> Product:
        """Raises Problem("not_found")."""
        product = await self._catalogue.product(product_id)
        if product is None:
            raise Problem("not_found", f"There is no product {product_id}.")
        return product

    async def create(self, actor: str, name: str, description: str, list_price: Money) -> Product:
        """Raises Problem("bad_request") naming the field."""
        product = await self._catalogue.create_product(
            _product(0, name, description, "", list_price)
        )
        await self._note(actor, "product.create", product.id, {"name": product.name})
        return product

    async def update(
        self,
        actor: str,
        product_id: int,
        name: str,
        description: str,
        list_price: Money,
        version: str | None = None,
    ) -> Product:
        """Everything but the picture.

        Args:
            version: of the product the admin began with (`version_of`); None: whatever it is now.

        Raises:
            Problem: bad_request naming the field, not_found, conflict (with the field `version`:
                somebody else has changed it meanwhile).
        """
        old = await self.get(product_id)
        if version is not None and version != version_of(old):
            raise _changed()
        new = _product(product_id, name, description, old.picture_url, list_price)
        stored = await self._catalogue.update_product(new, None if version is None else old)
        if stored is None:
            await self.get(product_id)
            raise _changed()
        return await self._done(actor, "product.update", stored)

    async def delete(self, actor: str, product_id: int) -> None:
        """Raises Problem: not_found, conflict (a sale uses it)."""
        old = await self.get(product_id)
        if not await self._catalogue.delete_product(product_id):
            raise Problem("not_found", f"There is no product {product_id}.")
        await self._note(actor, "product.delete", product_id, {"name": old.name})
        await self._forget_picture(old)

    async def set_picture(self, actor: str, product_id: int, content: bytes) -> Product:
        """Store a picture in every width, under names made of its content, so that it may be cached
        for ever.

        Args:
            content: see `Pictures.made`; what the caller says its type is does not count.

        Raises:
            Problem: not_found, too_large, unsupported_media_type.
            Overloaded: too many pictures wait.
        """
        old = await self.get(product_id)
        if len(content) > PICTURE_MAX_BYTES:
            raise Problem("too_large", f"A picture has at most {PICTURE_MAX_BYTES} bytes.")
        wide, small = await self._pictures.made(content)
        digest = hashlib.sha256(wide).hexdigest()[:20]
        name, small_name = file_names(product_id, digest)
        await self._files.put(small_name, small, "image/webp")
        url = await self._files.put(name, wide, "image/webp")
        product = await self._picture(actor, product_id, url)
        if old.picture_url != url:
            await self._forget_picture(old)
        return product

    async def remove_picture(self, actor: str, product_id: int) -> None:
        """Raises Problem("not_found")."""
        old = await self.get(product_id)
        if old.picture_url:
            await self._picture(actor, product_id, "")
            await self._forget_picture(old)

    async def _picture(self, actor: str, product_id: int, url: str) -> Product:
        stored = await self._catalogue.set_picture(product_id, url)
        if stored is None:
            raise Problem("not_found", f"There is no product {product_id}.")
        return await self._done(actor, "product.picture", stored)

    async def _done(self, actor: str, action: str, stored: Product) -> Product:
        detail = {"name": stored.name, "picture_url": stored.picture_url}
        await self._note(actor, action, stored.id, detail)
        await self._board.refresh_board()
        return stored

    async def _forget_picture(self, old: Product) -> None:
        for url in {old.picture_url, small_url(old.picture_url)}:
            if found := _STORED.search(url):
                await self._files.delete(found[0])

    async def _note(self, actor: str, action: str, product_id: int, detail: dict[str, str]) -> None:
        now = self._clock.now_ms()
        await self._trail.append(now, actor, action, f"product:{product_id}", detail)


def version_of(product: Product) -> str:
    """Stands for all of it but the picture."""
    return fingerprint((product.name, product.description, product.list_price))


def _changed() -> Problem:
    return Problem("conflict", "Somebody else has changed this product meanwhile.", field="version")


def _product(product_id: int, name: str, description: str, url: str, price: Money) -> Product:
    return Product(
        id=product_id,
        name=plain_line(name, "name", NAME_MAX),
        description=plain_text(description, "description", DESCRIPTION_MAX),
        picture_url=url,
        list_price=check_money(price, "list_price"),
    )
