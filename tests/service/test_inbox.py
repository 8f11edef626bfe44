"""Rows that were fed are there, once and in order, whatever restarts and wherever a write was torn."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import StoreError
from star_agents.service.run import inbox as module
from star_agents.service.run.inbox import Fed, Inbox, InboxReader

FEEDINGS = st.lists(st.integers(0, 5), max_size=12)


def opened(folder: Path) -> Inbox:
    inbox = Inbox(folder)
    inbox.open()
    return inbox


@given(feedings=FEEDINGS, start=st.integers(0, 30), limit=st.integers(1, 10), segment=st.integers(1, 7))
def test_rows_are_numbered_in_the_order_they_came(
    tmp_path_factory: pytest.TempPathFactory, feedings: list[int], start: int, limit: int, segment: int
) -> None:
    """Over any number of files, and of starts between feedings."""
    folder = tmp_path_factory.mktemp("inbox")
    fed: list[object] = []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "SEGMENT_ROWS", segment)
        for size in feedings:
            rows: list[object] = [{"n": len(fed) + index} for index in range(size)]
            fed += rows
            assert opened(folder).append(Fed(rows)) == len(fed)
        inbox = opened(folder)
    assert inbox.count == len(fed)
    reader, found = InboxReader(inbox, start), []
    while rows := reader.read(limit):
        assert len(rows) <= limit
        found += rows
    assert found == fed[start:]


@given(cut=st.integers(1, 200))
def test_a_torn_end_is_cut_off(tmp_path_factory: pytest.TempPathFactory, cut: int) -> None:
    """What was acknowledged stays; of the last append, torn at any byte, nothing does, and the next goes on behind."""
    folder = tmp_path_factory.mktemp("inbox")
    inbox = opened(folder)
    inbox.append(Fed([1, 2], "a.jsonl", 10))
    (file,) = folder.iterdir()
    whole = file.read_bytes()
    inbox.append(Fed([3, 4], "a.jsonl", 20))
    torn = file.read_bytes()[: max(len(whole), file.stat().st_size - cut)]
    file.write_bytes(torn)
    again = opened(folder)
    assert (again.count, again.offsets) == (2, {"a.jsonl": 10})
    again.append(Fed([5]))
    assert InboxReader(opened(folder), 0).read(9) == [1, 2, 5]


@given(feedings=FEEDINGS, segment=st.integers(1, 7))
def test_a_reader_goes_on_where_it_was(
    tmp_path_factory: pytest.TempPathFactory, feedings: list[int], segment: int
) -> None:
    """Rows that come while it is read are read, over any number of files, each once."""
    inbox = opened(tmp_path_factory.mktemp("inbox"))
    reader, found, fed = InboxReader(inbox, 0), [], 0
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "SEGMENT_ROWS", segment)
        for size in feedings:
            fed = inbox.append(Fed(list(range(fed, fed + size))))
            found += reader.read(3)
        while rows := reader.read(3):
            found += rows
    assert found == list(range(fed))


def test_offsets_outlive_a_file_of_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the last file is read at a start: it says how far every followed file was read."""
    monkeypatch.setattr(module, "SEGMENT_ROWS", 2)
    inbox = opened(tmp_path)
    for number in range(6):
        inbox.append(Fed([number], f"{number % 3}.jsonl", number))
    assert len(list(tmp_path.iterdir())) == 3
    assert opened(tmp_path).offsets == {"0.jsonl": 3, "1.jsonl": 4, "2.jsonl": 5}


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    """Bytes that are no longer what was written are told with file and line, never guessed at."""
    inbox = opened(tmp_path)
    inbox.append(Fed([1]))
    inbox.append(Fed([2]))
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes().replace(b"{", b"?", 1))
    with pytest.raises(StoreError, match=r"000000000000\.jsonl: a damaged line"):
        opened(tmp_path)
