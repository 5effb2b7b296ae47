"""What a phone fetches before it shows a sale, as the edge sends it."""

import re

import httpx2

from tests.web.shop import Shop

FIRST_LOAD_MAX_BYTES = 60_000


def sent(url: str) -> tuple[int, str]:
    """Bytes on the wire, and what they say."""
    with httpx2.stream("GET", url, headers={"accept-encoding": "gzip"}) as answer:
        assert answer.status_code == 200, url
        size = len(b"".join(answer.iter_raw()))
    return size, httpx2.get(url).text


def test_the_first_load_of_a_sale_is_small(shop: Shop) -> None:
    size, page = sent(f"{shop.url}/sales/{shop.sale()}")
    sizes = {"page": size}
    for path in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page):
        sizes[path], code = sent(shop.url + path)
        for name in re.findall(r"zh-Hant-[\w-]+\.js", code):
            sizes[name], texts = sent(f"{shop.url}/assets/{name}")
            if "nav.parked" in texts:
                del sizes[name]  # the console's, which no buyer loads
    assert len(sizes) > 4, "the script, its parts, the styles and the texts"
    assert sum(sizes.values()) <= FIRST_LOAD_MAX_BYTES, sizes
