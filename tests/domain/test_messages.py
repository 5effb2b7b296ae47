"""What travels between roles: unchanged by its encoding, refused when it is anything else."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from miaosha.domain.messages import (
    BATCH_USERS_MAX,
    BATCH_VERSION,
    Batch,
    BusPing,
    MalformedMessage,
    Positions,
    Result,
    Results,
    Standby,
    decode_batch,
    decode_bus,
    encode_batch,
    encode_bus,
    rids,
    split_rid,
)
from miaosha.domain.reservation import State

USER_IDS = st.lists(st.integers(1, 1 << 62), max_size=BATCH_USERS_MAX)


@given(users=USER_IDS, at_ms=st.integers(0, 1 << 53), sale_id=st.integers(1, 1 << 53))
def test_a_batch_survives_its_encoding(users: list[int], at_ms: int, sale_id: int) -> None:
    batch = Batch(BATCH_VERSION, sale_id, "018f", at_ms, users)
    assert decode_batch(encode_batch(batch)) == batch


@given(raw=st.binary(max_size=200))
def test_garbage_is_malformed_and_nothing_else(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_batch(raw)


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ([2, 7, "b", 1, []], "version 2, expected 1"),
        ([1, 7, "b", 1, [1] * (BATCH_USERS_MAX + 1)], "513 users, at most 512"),
        ([1, "7", "b", 1, []], "int"),
        ([1, 7, "b", 1, ["1"]], "int"),
        ([1, 7, "b", 1], "array"),
        ({"v": 1}, "array"),
    ],
)
def test_a_batch_of_another_shape_is_malformed(message: object, why: str) -> None:
    with pytest.raises(MalformedMessage, match=why):
        decode_batch(msgspec.msgpack.encode(message))


def test_the_largest_batch_passes() -> None:
    batch = Batch(BATCH_VERSION, 7, "b", 1, list(range(BATCH_USERS_MAX)))
    assert decode_batch(encode_batch(batch)) == batch


@given(index=st.integers(0, BATCH_USERS_MAX - 1), batch_id=st.uuids(version=4).map(str))
def test_a_rid_names_its_batch_and_index(index: int, batch_id: str) -> None:
    batch = Batch(BATCH_VERSION, 7, batch_id, 1, [1] * (index + 1))
    assert split_rid(batch.rid(index)) == (batch_id, index)
    assert rids(batch)[index] == batch.rid(index)


@pytest.mark.parametrize("rid", ["", ".", "b", "b.", ".1", "b.x", "b.-1", "b.1000", "b.²", "b. 1"])
def test_what_is_not_a_rid(rid: str) -> None:
    with pytest.raises(ValueError, match="not a request id"):
        split_rid(rid)


@pytest.mark.parametrize(
    "message",
    [
        Results([Result(7, 1, "b.0", State.HELD, 2, pay_by_ms=9, checkout_token="t")]),
        Results([]),
        Positions([Standby(7, 1, 3, 4)]),
        BusPing("gateway:0", 5),
    ],
)
def test_the_bus_carries_each_kind(message: Results | Positions | BusPing) -> None:
    assert decode_bus(encode_bus(message)) == message


@pytest.mark.parametrize("raw", [b"", b"\xc1", msgspec.msgpack.encode({"type": "nonsense"})])
def test_the_bus_refuses_the_rest(raw: bytes) -> None:
    with pytest.raises(MalformedMessage):
        decode_bus(raw)


def test_a_result_says_no_more_than_it_knows() -> None:
    told = msgspec.json.decode(msgspec.json.encode(Result(7, 1, "b.0", State.SOLD_OUT, 0)))
    assert set(told) == {"sale_id", "user_id", "request_id", "state", "version"}
