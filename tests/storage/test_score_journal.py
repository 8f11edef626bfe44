"""The part file of `score`: whatever is cut off or spoilt, whole blocks stay and torn ones go."""

import resource
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.core.errors import ConfigError, RunInUseError, StoreError
from star_agents.storage.score_journal import ScoredBlock, ScoreJournal, Standing

HEADER = {"data_sha256": "abc", "rows": 12}


def make_blocks(sizes: list[int]) -> list[ScoredBlock]:
    """Blocks of so many rows; the text of a row looks like the line before a block."""
    blocks, first = [], 0
    for size in sizes:
        lines = b"".join(b'{"n": %d}\n1 1 0 0 4 0 0\n' % (first + at) for at in range(size))
        blocks.append(ScoredBlock(first, size, size // 2, size // 3, lines))
        first += size
    return blocks


def written(path: Path, blocks: list[ScoredBlock]) -> list[int]:
    """Begin a part file, and return where it ended after the header and after each block."""
    with closing(ScoreJournal(path)) as journal:
        journal.begin(HEADER)
        ends = [path.stat().st_size]
        for block in blocks:
            journal.append(block)
            ends.append(path.stat().st_size)
    return ends


def standing_of(blocks: list[ScoredBlock]) -> Standing:
    standing = Standing()
    for block in blocks:
        standing = standing.after(block)
    return standing


SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=4)


@given(SIZES, st.data())
def test_a_cut_anywhere_costs_the_torn_block_only(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    """The file ends at any byte: what was whole is kept, and the rest can be written again to the same bytes."""
    path, blocks = tmp_path_factory.mktemp("cut") / "out.part", make_blocks(sizes)
    ends = written(path, blocks)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    num_kept = sum(end <= cut for end in ends) - 1
    with closing(ScoreJournal(path)) as journal:
        assert (journal.header is not None) == (num_kept >= 0)
        assert journal.standing == standing_of(blocks[: max(num_kept, 0)])
        assert journal.num_cut == cut - (ends[num_kept] if num_kept >= 0 else 0)
        if journal.header is None:
            journal.begin(HEADER)
        for block in blocks[max(num_kept, 0) :]:
            journal.append(block)
        assert list(journal.blocks()) == blocks
    assert path.read_bytes() == whole


@given(SIZES, st.data())
def test_a_spoilt_byte_ends_what_counts(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], data: st.DataObject
) -> None:
    """A byte is another one on the disk: blocks before it count, and none is read that was not written."""
    path, blocks = tmp_path_factory.mktemp("spoilt") / "out.part", make_blocks(sizes)
    ends = written(path, blocks)
    content = bytearray(path.read_bytes())
    at = data.draw(st.integers(ends[0], len(content) - 1))
    content[at] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    with closing(ScoreJournal(path)) as journal:
        assert list(journal.blocks()) == blocks[: sum(end <= at for end in ends) - 1]


def test_zeros_behind_a_crash_are_no_rows(tmp_path: Path) -> None:
    """A file system may give a file its new length and lose what was in it."""
    path, blocks = tmp_path / "out.part", make_blocks([2, 2])
    ends = written(path, blocks)
    with path.open("r+b") as file:
        file.truncate(ends[1])
        file.truncate(ends[1] + 4096)
    with closing(ScoreJournal(path)) as journal:
        assert journal.standing == standing_of(blocks[:1])
    path.write_bytes(bytes(4096))
    with closing(ScoreJournal(path)) as journal:
        assert journal.header is None


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Whoever comes second is told, and what the first writes is whole."""
    path = tmp_path / "out.part"
    with closing(ScoreJournal(path)) as journal:
        with pytest.raises(RunInUseError, match=r"out\.part: another process is at it"):
            ScoreJournal(path)
        journal.begin(HEADER)
        journal.append(make_blocks([1])[0])
    with closing(ScoreJournal(path)) as journal:
        assert journal.standing.rows == 1


def test_a_file_without_rows_is_taken_away(tmp_path: Path) -> None:
    """A start that came to nothing leaves nothing."""
    path = tmp_path / "out.part"
    ScoreJournal(path).close()
    assert not path.exists()
    written(path, [])
    assert not path.exists()


@pytest.mark.parametrize("content", [b"my own notes", b"[1, 2]\n", b'{"number": 0}\n', b"\n"])
@pytest.mark.parametrize("fresh", [False, True])
def test_a_file_that_is_not_ours_is_left_alone(tmp_path: Path, content: bytes, fresh: bool) -> None:
    """Whatever it is called, and even where everything is to be begun anew."""
    path = tmp_path / "out.part"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="no part file"):
        ScoreJournal(path, fresh=fresh)
    assert path.read_bytes() == content


def test_another_layout_is_neither_read_nor_cut(tmp_path: Path) -> None:
    """The part file of another version stays as it is, unless it is not wanted any more."""
    path = tmp_path / "out.part"
    content = b'{"star_agents_scores":2,"rows":1}\nsomething else\n'
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="another version"):
        ScoreJournal(path)
    assert path.read_bytes() == content
    with closing(ScoreJournal(path, fresh=True)) as journal:
        journal.begin(HEADER)
        journal.append(make_blocks([1])[0])
        assert list(journal.blocks()) == make_blocks([1])


def test_what_is_not_wanted_goes_only_when_something_is_begun(tmp_path: Path) -> None:
    """`fresh` throws rows away no sooner than the models are loaded."""
    path, blocks = tmp_path / "out.part", make_blocks([2])
    written(path, blocks)
    ScoreJournal(path, fresh=True).close()
    with closing(ScoreJournal(path)) as journal:
        assert list(journal.blocks()) == blocks


@contextmanager
def disk_of(num_bytes: int) -> Iterator[None]:
    """No file may grow beyond this: the kernel refuses the write, as a full disk does."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_is_one_line_and_costs_one_block(tmp_path: Path) -> None:
    """The error names the file and the mend; the block that did not fit is cut off by the next start."""
    path, blocks = tmp_path / "out.part", make_blocks([2, 3])
    with closing(ScoreJournal(path)) as journal:
        journal.begin(HEADER)
        journal.append(blocks[0])
        with disk_of(path.stat().st_size + 20), pytest.raises(StoreError, match=r"out\.part: File too large; mend"):
            journal.append(blocks[1])
    with closing(ScoreJournal(path)) as journal:
        assert journal.standing.rows == 2
        assert journal.num_cut == 20
        journal.append(blocks[1])
        assert list(journal.blocks()) == blocks
