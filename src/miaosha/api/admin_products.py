"""Admin products: their routes. A picture is sent as it is, not as a form."""

from litestar.params import FromPath

from miaosha.api.admin_schemas import (
    AdminProduct,
    ProductBody,
    ProductList,
    ProductUpdateBody,
    admin_product,
)
from miaosha.api.auth import actor
from miaosha.api.context import context_of
from miaosha.api.declare import Req, Who, operation, read_body, read_query
from miaosha.api.schemas import ListQuery, decode_cursor, encode_cursor
from miaosha.ports.pictures import PICTURE_MAX_BYTES

TAG = "Admin: products"
PRODUCT_BODY_MAX = 65_536  # a description of 4,000 characters of any script fits
PICTURES = ("image/jpeg", "image/png", "image/webp", "image/heic", "image/heif")


@operation(
    "GET",
    "/admin/products",
    who=Who.ADMIN,
    tag=TAG,
    summary="Products",
    answer=ProductList,
    query=ListQuery,
)
async def list_products(request: Req) -> ProductList:
    """Newest first."""
    asked = read_query(request, ListQuery)
    found = await context_of(request).products.page(decode_cursor(asked.cursor), asked.limit)
    following = encode_cursor(found[-1].id) if len(found) == asked.limit else None
    return ProductList([admin_product(product) for product in found], following)


@operation(
    "POST",
    "/admin/products",
    who=Who.ADMIN,
    tag=TAG,
    summary="Create a product",
    status=201,
    answer=AdminProduct,
    body=ProductBody,
    body_max=PRODUCT_BODY_MAX,
)
async def create_product(request: Req) -> AdminProduct:
    """Without a picture; put that afterwards."""
    body = await read_body(request, ProductBody)
    made = await context_of(request).products.create(
        actor(request), body.name, body.description, body.list_price
    )
    return admin_product(made)


@operation(
    "GET",
    "/admin/products/{product_id:int}",
    who=Who.ADMIN,
    tag=TAG,
    summary="One product",
    answer=AdminProduct,
)
async def get_product(request: Req, product_id: FromPath[int]) -> AdminProduct:
    """By its id."""
    return admin_product(await context_of(request).products.get(product_id))


@operation(
    "PUT",
    "/admin/products/{product_id:int}",
    who=Who.ADMIN,
    tag=TAG,
    summary="Change a product",
    answer=AdminProduct,
    body=ProductUpdateBody,
    body_max=PRODUCT_BODY_MAX,
    codes=("conflict",),
)
async def update_product(request: Req, product_id: FromPath[int]) -> AdminProduct:
    """Everything but the picture. Sales show the change within a second. With a `version`, only if
    nobody else has changed it since (else 409 with the field `version`)."""
    body = await read_body(request, ProductUpdateBody)
    stored = await context_of(request).products.update(
        actor(request), product_id, body.name, body.description, body.list_price, body.version
    )
    return admin_product(stored)


@operation(
    "DELETE",
    "/admin/products/{product_id:int}",
    who=Who.ADMIN,
    tag=TAG,
    summary="Delete a product",
    status=204,
    codes=("conflict",),
)
async def delete_product(request: Req, product_id: FromPath[int]) -> None:
    """Not while a sale uses it."""
    await context_of(request).products.delete(actor(request), product_id)


@operation(
    "PUT",
    "/admin/products/{product_id:int}/picture",
    who=Who.ADMIN,
    tag=TAG,
    summary="Put a product's picture",
    answer=AdminProduct,
    body=bytes,
    takes=PICTURES,
    body_max=PICTURE_MAX_BYTES,
)
async def put_picture(request: Req, product_id: FromPath[int]) -> AdminProduct:
    """A JPEG, PNG, WebP or HEIF of at most 12 MB and 50 million pixels, as the body itself; its
    bytes say which. It is made anew in two widths, without what it tells of camera, place and
    people."""
    raw = await request.body()
    return admin_product(
        await context_of(request).products.set_picture(actor(request), product_id, raw)
    )


@operation(
    "DELETE",
    "/admin/products/{product_id:int}/picture",
    who=Who.ADMIN,
    tag=TAG,
    summary="Remove a product's picture",
    status=204,
)
async def delete_picture(request: Req, product_id: FromPath[int]) -> None:
    """Harmless to repeat."""
    await context_of(request).products.remove_picture(actor(request), product_id)


ROUTES = [
    list_products,
    create_product,
    get_product,
    update_product,
    delete_product,
    put_picture,
    delete_picture,
]
