"""The names of a picture's files, and which of them a phone loads."""

from miaosha.domain.picture import file_names, small_url


def test_the_small_file_lies_beside_the_wide_one() -> None:
    wide, small = file_names(7, "abc")
    assert (wide, small) == ("pictures/7-abc.webp", "pictures/7-abc-640.webp")
    assert small_url(f"https://cdn.example/files/{wide}") == f"https://cdn.example/files/{small}"


def test_a_picture_of_one_width_is_its_own_small_one() -> None:
    for url in ("", "/files/products/7-abc.jpg", "/files/products/7-abc.webp"):
        assert small_url(url) == url
