"""Names: a class has one home, a module's name stands once on its floor, and whatever names code in
a string or in a text names code that exists.
"""

import importlib
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tidy.tree import ROOT, SOURCE, classes, name, python_files, texts

ROLES = ("sockets", "gateway", "publisher", "api", "workers")  # one floor
PORTS_ADAPTERS = ("redis", "rabbitmq", "sql")  # several may implement one port, each in a module
UNNAMED = ("__init__", "__main__")

DOTTED = re.compile(r"(?<![\w./@-])miaosha(?:\.[A-Za-z_]\w*)+")
NO_CODE = {
    "miaosha.requests": "an exchange of RabbitMQ",
    "miaosha.service": "a unit of systemd",
    "miaosha.session": "a key of the browser's storage",
    "miaosha.sqlite": "a file",
}
_ROOMS = sorted(path.name for path in SOURCE.iterdir() if (path / "__init__.py").exists())
OF_ROOM = re.compile(rf"(?<![\w./@-])(?:{'|'.join(_ROOMS)})\.[a-z_]\w*\.[A-Z]\w*")
PLACE = re.compile(rf"(?<![\w/.])(?:src/miaosha/)?((?:{'|'.join(_ROOMS)})(?:/[\w-]+)+)((?:\.\w+)*)")


def twice() -> dict[str, list[str]]:
    homes: defaultdict[str, list[str]] = defaultdict(list)
    for found, path in classes():
        homes[found].append(name(path))
    return {found: paths for found, paths in homes.items() if len(paths) > 1}


def test_a_class_name_has_one_home() -> None:
    assert not twice()


def floor(path: Path) -> str:
    room = path.relative_to(SOURCE).parts[0]
    return "the roles" if room in ROLES else room


def may_share(paths: list[Path]) -> bool:
    rooms = {path.parent.name for path in paths}
    ours = all(path.parent.parent == SOURCE / "adapters" for path in paths)
    return ours and rooms <= set(PORTS_ADAPTERS) and len(rooms) == len(paths)


def modules_twice() -> dict[tuple[str, str], list[Path]]:
    found: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
    for path in python_files("src"):
        if path.parent != SOURCE and path.stem not in UNNAMED:
            found[floor(path), path.stem].append(path)
    return {key: ps for key, ps in found.items() if len(ps) > 1 and not may_share(ps)}


def test_a_module_name_stands_once_on_its_floor() -> None:
    found = modules_twice()
    assert not {key: [name(p) for p in ps] for key, ps in found.items()}


def has(owner: object, attribute: str) -> bool:
    return hasattr(owner, attribute) or attribute in getattr(owner, "__annotations__", {})


def resolves(dotted: str) -> bool:
    """It names a module, a package's resource, or what a module holds."""
    parts = dotted.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        try:
            if importlib.util.find_spec(module) is None:
                continue
        except ModuleNotFoundError:
            continue
        owner: object = importlib.import_module(module) if parts[length:] else None
        for attribute in parts[length:]:
            if not has(owner, attribute):
                return False
            owner = getattr(owner, attribute, None)
        return True
    return False


def test_dotted_names_lead_to_code() -> None:
    named: defaultdict[str, list[str]] = defaultdict(list)
    for path, text in texts():
        for found in DOTTED.finditer(text):
            named[found[0]].append(name(path))
        for found in OF_ROOM.finditer(text):
            named[f"miaosha.{found[0]}"].append(name(path))
    lost = {n: paths for n, paths in named.items() if n not in NO_CODE and not resolves(n)}
    lost.pop(_NO_MODULE, None)
    assert not lost, lost
    unused = set(NO_CODE) - set(named)
    assert not unused, f"take off the list: {sorted(unused)}"


_NO_MODULE = "miaosha.domain.nowhere"


@pytest.mark.parametrize(
    ("dotted", "there"),
    [
        ("miaosha.domain", True),
        ("miaosha.settings.Settings", True),
        ("miaosha.settings.Settings.redis_url", True),
        (_NO_MODULE, False),
        ("miaosha.settings.Settings".replace("Settings", "Nothing"), False),
    ],
)
def test_a_dotted_name_is_looked_up(dotted: str, there: bool) -> None:
    assert resolves(dotted) is there


def places(text: str) -> Iterator[tuple[str, str, str]]:
    for found in PLACE.finditer(text):
        yield found[0], found[1], found[2]


def leads_somewhere(place: str, rest: str) -> bool:
    """`place` is a folder, or a file with the ending `rest`, or a module that holds `rest`; of the
    source or of the tests."""
    for top in (SOURCE, ROOT / "tests"):
        path = top / place
        if path.is_dir() or path.with_name(path.name + rest).is_file():
            return True
        if path.with_suffix(".py").is_file():
            dotted = place.replace("/", ".") + rest
            return top != SOURCE or not rest or resolves(f"miaosha.{dotted}")
    return False


def test_places_in_texts_exist() -> None:
    lost = [
        f"{name(path)}: {said}"
        for path, text in texts()
        if path != Path(__file__)
        for said, place, rest in places(text)
        if not leads_somewhere(place, rest)
    ]
    assert not lost, "\n".join(lost)


@pytest.mark.parametrize(
    ("text", "there"),
    [
        ("see ports/clock.StepClock", True),
        ("see ports/clock.py, and", True),
        ("see src/miaosha/adapters/redis", True),
        ("see ports/outside.Bus", False),
        ("see ports/clock.Nothing", False),
    ],
)
def test_a_place_is_looked_up(text: str, there: bool) -> None:
    [(_, place, rest)] = places(text)
    assert leads_somewhere(place, rest) is there
