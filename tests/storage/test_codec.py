from dataclasses import replace
from struct import pack, unpack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.calls import Completion, Failure, Purpose
from star_agents.core.errors import StoreError
from star_agents.core.records import (
    Graded,
    Plan,
    Seed,
    Tally,
)
from star_agents.storage import codec
from star_agents.storage.manifest import Manifest
from tests.storage.strategies import any_of

PACKER = codec.Packer()


@given(any_of(Plan))
def test_a_plan_is_read_as_it_was_written(plan: Plan) -> None:
    """Every field comes back equal, the embedding from its own column."""
    body = PACKER.plan(plan)
    assert codec.read_plan("plan", codec.checksum(body, plan.embedding), body, plan.embedding) == plan


@given(any_of(Completion | Failure))
def test_a_reply_is_read_as_it_was_written(reply: Completion | Failure) -> None:
    """A completion comes back a completion, a failure a failure."""
    body = PACKER.pack(reply)
    again = codec.read_reply("reply", codec.checksum(body), body)
    assert again == reply
    assert type(again) is type(reply)


@given(any_of(Graded))
def test_a_finished_seed_is_read_as_it_was_written(graded: Graded) -> None:
    """Outcomes, scores, verdicts, grades and selection come back equal."""
    body = PACKER.graded(graded)
    assert codec.read_graded("result", codec.checksum(body), body, graded.settled.plan) == graded


@given(any_of(Tally))
def test_a_tally_is_read_as_it_was_written(tally: Tally) -> None:
    """Counts and sums come back equal."""
    body = PACKER.pack(tally)
    assert codec.read_tally("tally", codec.checksum(body), body) == tally


@given(any_of(Manifest))
def test_a_manifest_is_read_as_it_was_written(manifest: Manifest) -> None:
    """The settings and the pool come back equal."""
    body = PACKER.pack(manifest)
    assert codec.read_manifest("manifest", codec.checksum(body), body) == manifest


@given(st.lists(st.floats()).map(tuple))
def test_weights_keep_every_bit(p: tuple[float, ...]) -> None:
    """Float64 little-endian: the same bits, negative zero and odd NaNs included."""
    blob = codec.float_bytes(p)
    assert blob == pack(f"<{len(p)}d", *p)
    (again,) = codec.read_floats("policy", codec.checksum(blob), blob)
    assert [pack("<d", value) for value in again] == [pack("<d", value) for value in p]
    assert len(unpack(f"<{len(p)}d", blob)) == len(again)


@given(any_of(Seed), st.text(st.characters(categories=["Cs", "L"]), max_size=9))
def test_lone_surrogates_are_repaired_and_nothing_else(seed: Seed, odd: str) -> None:
    """A text that UTF-8 cannot hold is stored with U+FFFD where the odd characters were; the run goes on."""
    plan = Plan(replace(seed, instruction=odd), (), 0)
    body = PACKER.plan(plan)
    again = codec.read_plan("plan", codec.checksum(body), body, b"")
    assert again.seed.instruction == codec.sound(odd)
    assert again.seed.instruction.encode().decode() == again.seed.instruction
    assert replace(again.seed, instruction="") == replace(seed, instruction="")


def test_sound_joins_a_surrogate_pair() -> None:
    """Two halves of one character are that character, as in JSON; a half alone is replaced."""
    assert codec.sound("\ud83e\udd86 \ud83e") == "🦆 \ufffd"


def test_long_bodies_are_compressed_and_short_ones_can_be_read_by_eye() -> None:
    """The first byte of a body tells JSON from zstd."""
    short = PACKER.pack({"a": 1})
    long = PACKER.pack({"a": "b" * 1000})
    assert short == b'{"a":1}'
    assert long.startswith(b"\x28\xb5\x2f\xfd")
    assert len(long) < 100


@given(any_of(Plan), st.integers(min_value=0), st.integers(0, 7))
def test_any_flipped_bit_is_found(plan: Plan, position: int, bit: int) -> None:
    """A row whose bytes have changed is named, never believed."""
    body = bytearray(PACKER.plan(plan))
    crc = codec.checksum(bytes(body), plan.embedding)
    body[position % len(body)] ^= 1 << bit
    with pytest.raises(StoreError, match="plan of seed 7 is damaged"):
        codec.read_plan("plan of seed 7", crc, bytes(body), plan.embedding)


def test_a_field_of_a_later_version_takes_its_default() -> None:
    """Reading an older body: what it lacks has the default, what it has too much is left."""
    body = b'{"slot":3,"purpose":"judge","reason":"timeout","message":"m","endpoint":"e","unheard_of":[1]}'
    assert codec.read_reply("reply", codec.checksum(body), body) == Failure(3, Purpose.JUDGE, "timeout", "m", "e")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfdgarbage", b"\xff"])
def test_bytes_that_were_never_a_record_are_named(body: bytes) -> None:
    """Even with a matching checksum the reader raises nothing but a StoreError with the row's name."""
    with pytest.raises(StoreError, match="reply of seed 3"):
        codec.read_reply("reply of seed 3", codec.checksum(body), body)
