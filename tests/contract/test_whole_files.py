"""What a start keeps for the next one survives a death in the middle of writing."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from miaosha.adapters.keyring import Keyring
from miaosha.adapters.whole_files import first_text, write_whole
from miaosha.supervisor import data_directory
from miaosha.supervisor.servers.valkey_cluster import ValkeyCluster


class Died(BaseException):
    """As by a KILL: nothing is tidied up."""


@contextmanager
def dying() -> Iterator[None]:
    """Whoever writes dies before the file is whole."""

    def die(descriptor: int) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Died):
        patch.setattr(os, "fsync", die)
        yield


def test_a_replaced_file_is_the_old_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "kept"
    path.write_bytes(b"old")
    with dying():
        write_whole(path, b"new")
    assert path.read_bytes() == b"old"
    write_whole(path, b"new")
    assert path.read_bytes() == b"new" and path.stat().st_mode & 0o777 == 0o600


def test_keys_are_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    with dying():
        data_directory.secret_keys(tmp_path)
    assert not (tmp_path / "secret.keys").exists()
    keys = data_directory.secret_keys(tmp_path)
    assert keys and data_directory.secret_keys(tmp_path) == keys
    Keyring.parse(keys)
    assert (tmp_path / "secret.keys").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space"):
        data_directory.secret_keys(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_two_who_make_something_up_the_first_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    link = os.link

    def later(*args: Any) -> None:
        path.write_text("the other\n")
        link(*args)

    monkeypatch.setattr(os, "link", later)
    assert first_text(path, "mine") == "the other"
    assert [each.name for each in tmp_path.iterdir()] == ["kept"]


def test_a_formed_cluster_keeps_its_data_whenever_it_dies(tmp_path: Path) -> None:
    """A file that cannot be read would pass for a cluster that was never formed."""
    cluster = ValkeyCluster.prepare(tmp_path, password=True)
    cluster._kept.formed = True
    cluster._write()
    data = tmp_path / "n0" / "appendonlydir"
    data.mkdir(parents=True)
    with dying():
        cluster._write()
    assert ValkeyCluster.prepare(tmp_path, password=True).url == cluster.url
    assert data.exists()
