"""Seeds: every format, numbers that never move, and one clear line for everything that can be wrong."""

import asyncio
import gzip
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import orjson
import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from star_agents.core.errors import SeedError
from star_agents.core.records import Seed
from star_agents.storage import row_files
from star_agents.storage.row_files import RawRow, Rows, file_errors
from star_agents.storage.seed_rows import RowFormat, UnusableRowError, to_seed
from star_agents.storage.seeds import Seeds, open_seeds, tolerated_rows
from star_agents.storage.shipped import SHIPPED, shipped
from tests.contracts.test_seeds import write_rows
from tests.loops import run_real

REAL = Path(__file__).parents[1] / "data" / "seeds"


def read(path: str | Path, **options: object) -> list[Seed]:
    """All seeds of a source."""
    return read_with_bad(path, **options)[0]


def read_with_bad(path: str | Path, **options: object) -> tuple[list[Seed], int]:
    """All seeds of a source, and the number of rows skipped."""

    async def main() -> tuple[list[Seed], int]:
        source = await open_seeds(str(path), **options)  # type: ignore[arg-type]  # any option, by name
        seeds: list[Seed] = []
        while some := await source.read(7):
            seeds += some
        return seeds, source.bad

    return run_real(main())


def lines(path: Path, *rows: object) -> Path:
    path.write_bytes(b"".join((row if isinstance(row, bytes) else orjson.dumps(row)) + b"\n" for row in rows))
    return path


GOOD = {"instruction": "Say hi."}


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"instruction": "I", "input": "C", "output": "R", "id": 7}, Seed(0, "I", "R", "C", "7")),
        ({"instruction": "I", "response": "R", "context": "C"}, Seed(0, "I", "R", "C")),
        ({"instruction": "I", "input": None, "output": None}, Seed(0, "I")),
        ({"instruction": "I", "instances": [{"input": "C", "output": "R"}, {"output": "X"}]}, Seed(0, "I", "R", "C")),
        ({"instruction": "I", "instances": []}, Seed(0, "I")),
        (
            {
                "messages": [
                    {"role": "system", "content": "Be kind."},
                    {"role": "user", "content": [{"type": "text", "text": "I"}, {"type": "text", "text": "!"}]},
                    {"role": "assistant", "content": "R"},
                    {"role": "user", "content": "More?"},
                    {"role": "assistant", "content": "No."},
                ]
            },
            Seed(0, "I!", "R"),
        ),
        ({"messages": [{"role": "assistant", "content": "Hello"}, {"role": "user", "content": "I"}]}, Seed(0, "I")),
        ({"conversations": [{"from": "human", "value": "I"}, {"from": "gpt", "value": "R"}]}, Seed(0, "I", "R")),
        ({"conversations": [{"role": "user", "content": "I"}], "id": "x"}, Seed(0, "I", source_id="x")),
    ],
)
def test_every_shape_is_known_by_its_fields(row: dict[str, object], expected: Seed) -> None:
    """`auto` needs no telling; a conversation gives its first exchange."""
    assert to_seed(0, row, "auto") == expected


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ([], "a list, not an object"),
        ("text", "a str, not an object"),
        ({}, "it has nothing"),
        (
            {"prompt": "p", "answer": "a"},
            "no field named instruction, messages or conversations; it has 'answer', 'prompt'",
        ),
        ({"instruction": ""}, "the instruction is empty"),
        ({"instruction": " \n"}, "the instruction is empty"),
        ({"instruction": None}, "the instruction is empty"),
        ({"instruction": 5}, "instruction is a int, not text"),
        ({"instruction": "I", "output": ["R"]}, "output is a list, not text"),
        ({"instruction": "a\0b"}, "instruction holds a NUL character"),
        ({"instruction": "x" * 1_000_001}, "instruction is longer than 1000000 characters"),
        ({"instruction": "I", "instances": "?"}, "instances is a str, not a list"),
        ({"instruction": "I", "instances": ["?"]}, "instances[0] is not an object"),
        ({"messages": []}, "messages has no user turn"),
        ({"messages": None}, "no field named messages"),
        ({"messages": ["hi"]}, "messages[0] is not an object"),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "a part that is not text"),
        ({"conversations": [{"from": "gpt", "value": "R"}]}, "conversations has no user turn"),
    ],
)
def test_an_unusable_row_says_why(row: object, told: str) -> None:
    """The reason names the field and what was found there."""
    with pytest.raises(UnusableRowError) as caught:
        to_seed(0, row, "auto")
    assert told in str(caught.value)


@pytest.mark.parametrize(("row_format", "told"), [("messages", "messages"), ("sharegpt", "conversations")])
def test_a_format_that_is_named_is_the_only_one_tried(row_format: RowFormat, told: str) -> None:
    """A row of another shape is then unusable."""
    with pytest.raises(UnusableRowError, match=f"no field named {told}"):
        to_seed(0, GOOD, row_format)


@pytest.mark.parametrize(
    ("name", "row_format", "count", "first"),
    [
        ("alpaca.json", "alpaca", 20, "Evaluate the following phrase"),
        ("sharegpt.json", "sharegpt", 20, "Who are you?"),
        ("self_instruct.jsonl", "self-instruct", 12, "Is there anything I can eat for a breakfast"),
    ],
)
def test_real_data_is_read_whole(name: str, row_format: RowFormat, count: int, first: str) -> None:
    """Rows of three public sets, by detection and by name alike."""
    seeds = read(REAL / name)
    assert seeds == read(REAL / name, row_format=row_format)
    assert len(seeds) == count
    assert seeds[0].instruction.startswith(first)
    assert all(seed.response for seed in seeds)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_seeds_are_whole(name: str) -> None:
    """They are in the package under the name a config gives, and every row has an answer."""
    seeds, bad = read_with_bad(f"shipped:{name}")
    assert (len(seeds), bad) == (24, 0)
    assert all(seed.response and seed.source_id for seed in seeds)
    with pytest.raises(SeedError, match="there is self-instruct-24"):
        shipped("no-such-thing")


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
@given(start=st.integers(0, 45), limit=st.none() | st.integers(1, 45))
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_seed_has_the_same_number_wherever_reading_starts(
    tmp_path: Path, name: str, start: int, limit: int | None
) -> None:
    """Start and limit cut out of the whole; unusable rows keep their numbers; the count is of all rows."""
    path = tmp_path / name
    if not path.exists():
        write_rows(path, [{"instruction": "" if i % 8 == 3 else f"Do {i % 5}.", "output": "x"} for i in range(40)])
    whole, bad = read_with_bad(path)
    assert bad == 5
    assert [seed.number for seed in whole] == [i for i in range(40) if i % 8 != 3]
    assert read(path, start=start, limit=limit) == [
        seed for seed in whole if start <= seed.number < (40 if limit is None else limit)
    ]

    async def count() -> int:
        return await (await open_seeds(str(path), start=start, limit=limit)).count()

    assert run_real(count()) == min(40, limit or 40)


def test_byte_order_mark_crlf_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    """Files from other systems are read as they are meant; blank lines take no number."""
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"instruction":"a"}\r\n\r\n \t\n{"instruction":"b"}\r\n\n{"instruction":"c"}')
    assert read(path) == [Seed(0, "a"), Seed(1, "b"), Seed(2, "c")]
    (tmp_path / "b.json").write_bytes(b'\xef\xbb\xbf[{"instruction":"a"}]')
    assert read(tmp_path / "b.json") == [Seed(0, "a")]


def test_lone_surrogates_are_repaired(tmp_path: Path) -> None:
    """JSON that other programs write may hold halves of characters: they become U+FFFD, in lines and arrays."""
    path = lines(tmp_path / "a.jsonl", b'{"instruction":"x\\ud83dy"}', b'{"instruction":"\\ud83e\\udd86"}')
    assert [seed.instruction for seed in read(path)] == ["x\ufffdy", "🦆"]
    (tmp_path / "b.json").write_bytes(b'[{"instruction":"x\\ud83dy"}]')
    assert read(tmp_path / "b.json") == [Seed(0, "x\ufffdy")]


def test_a_row_that_is_not_json_is_skipped_and_counted(tmp_path: Path) -> None:
    """A torn line, NaN, numbers without end and nesting without end are unusable rows, not a crash."""
    odd = [b'{"instruction":', b'{"instruction":"a","n":NaN}', b'{"n":' + b"9" * 5000 + b"}", b"[" * 100_000, b"\xff"]
    path = lines(tmp_path / "a.jsonl", GOOD, *odd, GOOD)
    seeds, bad = read_with_bad(path)
    assert [seed.number for seed in seeds] == [0, 6]
    assert bad == 5


def test_a_line_without_end_is_skipped_without_being_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cap on a row holds for the line, and the next line is read as usual."""
    monkeypatch.setattr(row_files, "MAX_ROW_BYTES", 100)
    path = lines(tmp_path / "a.jsonl", GOOD, {"instruction": "x" * 1000}, {"instruction": "y" * 79}, GOOD)
    seeds, bad = read_with_bad(path)
    assert [seed.number for seed in seeds] == [0, 2, 3]
    assert bad == 1


@pytest.mark.parametrize(("seen", "tolerated"), [(0, 10), (999, 10), (1_000, 10), (1_100, 11), (50_000, 500)])
def test_one_percent_of_rows_may_be_unusable_but_at_least_ten(seen: int, tolerated: int) -> None:
    """The default tolerance."""
    assert tolerated_rows(seen) == tolerated


def test_too_many_unusable_rows_end_the_reading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What came before is still given; the error names file, line and reason, and is the same ever after."""
    path = lines(tmp_path / "a.jsonl", *[GOOD] * 40, *[{"output": "no"}] * 11, *[GOOD] * 9)

    async def main() -> list[Seed]:
        source = await open_seeds(str(path))
        seeds = [*await source.read(40), *await source.read(40)]
        for _ in range(2):
            with pytest.raises(SeedError) as caught:
                await source.read(40)
            assert str(caught.value).startswith(f"{path}:51: no field named instruction")
            assert "11 of 51 rows are unusable" in str(caught.value)
        return seeds

    assert len(run_real(main())) == 40
    assert len(caplog.records) == 10
    assert len(read(path, max_bad=11)) == 49
    with pytest.raises(SeedError, match="1 of 41 rows"):
        read(path, max_bad=0)


BINARY = bytes(range(256)) * 20


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("none.jsonl", None, "no such file"),
        ("none.parquet", None, "no such file"),
        ("empty.jsonl", b"", "empty"),
        ("bom.jsonl", b"\xef\xbb\xbf", "empty"),
        ("blank.jsonl", b"\n\n \n", ": no seed to work on; it has no rows"),
        ("empty.json", b"", "empty"),
        ("nothing.json", b"[]", ": no seed to work on; it has no rows"),
        ("binary.jsonl", BINARY, "not text"),
        ("binary.json", BINARY, "not text"),
        ("utf16.jsonl", '{"instruction":"a"}'.encode("utf-16"), "not text"),
        ("zipped.jsonl", gzip.compress(b"{}"), "gzip data: add .gz"),
        ("zipped.json", zstandard.compress(b"{}"), "zstd data: add .zst"),
        ("table.jsonl", b"PAR1....", "a Parquet file: name it .parquet"),
        ("archive.jsonl", b"PK\x03\x04....", "a zip archive"),
        ("text.jsonl", b"instruction,output\nSay hi.,Hi.\n", "text.jsonl:1: not JSON lines"),
        ("pretty.jsonl", b'[\n {"instruction": "a"}\n]\n', "name an array .json"),
        ("oneline.jsonl", b'[{"instruction": "a"}]\n', "oneline.jsonl:1: a list, not an object"),
        (
            "lines.json",
            b'{"instruction": "a"}\n{"instruction": "b"}\n',
            "lines.json:2: not JSON, Extra data: mend it, or",
        ),
        ("object.json", b'{"data": []}', "holds one dict, not a list of rows"),
        ("torn.json", b'[{"instruction": "a"},\n {"instr', "torn.json:2: not JSON"),
        ("nan.json", b"[NaN]", "not JSON"),
        ("other.json", b'[{"prompt": "a"}]', "other.json: row 1: no field named instruction"),
        ("garbage.parquet", BINARY, "not a Parquet file, or damaged"),
        ("torn.jsonl.gz", gzip.compress(b'{"instruction":"a"}\n' * 9)[:30], "damaged or cut short"),
        ("no.jsonl.gz", b'{"instruction":"a"}\n', "damaged or cut short"),
        ("no.jsonl.zst", b'{"instruction":"a"}\n', "damaged or cut short"),
        ("rows.csv", b"a,b\n", "unknown kind of file: use .json, .jsonl"),
        ("rows", b"", "unknown kind of file"),
        ("rows.gz", b"", "unknown kind of file"),
    ],
)
def test_a_wrong_file_is_one_clear_line(tmp_path: Path, name: str, content: bytes | None, told: str) -> None:
    """Known when it is opened: the file, what is wrong, and the mend; nothing else escapes."""
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SeedError) as caught:
        run_real(open_seeds(str(path)))
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_and_a_forbidden_file_are_named(tmp_path: Path) -> None:
    """Also where only the file system knows."""
    (tmp_path / "a.jsonl").mkdir()
    with pytest.raises(SeedError, match="a folder: name a file in it"):
        read(tmp_path / "a.jsonl")
    with pytest.raises(SeedError, match="no permission to read it"), file_errors(tmp_path):
        raise PermissionError
    with pytest.raises(SeedError, match="Input/output error"), file_errors(tmp_path):
        raise OSError(5, "Input/output error")


@given(st.lists(st.binary(max_size=40), max_size=20))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_content_whatever_escapes_as_another_error(tmp_path: Path, content: list[bytes]) -> None:
    """Any bytes in any kind of file are seeds or a SeedError."""
    for name in ("a.jsonl", "a.json", "a.jsonl.gz", "a.jsonl.zst"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).write_bytes(b"\n".join(content))
        try:
            seeds = read(tmp_path / name)
        except SeedError:
            continue
        assert all(seed.instruction.strip() for seed in seeds)


def test_the_digest_changes_with_the_file(tmp_path: Path) -> None:
    """It is the SHA-256 of the bytes on the disk."""

    async def digest(path: Path) -> str:
        return await (await open_seeds(str(path))).sha256()

    first = run_real(digest(lines(tmp_path / "a.jsonl", GOOD)))
    again = run_real(digest(lines(tmp_path / "b.jsonl", GOOD)))
    other = run_real(digest(lines(tmp_path / "a.jsonl", GOOD, GOOD)))
    assert first == again != other
    assert len(first) == 64


def test_the_hub_needs_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the datasets library the mend is the command that installs it."""
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(SeedError, match=r"hub:org/name: needs the hub extra: pip install 'star-agents\[hub\]'"):
        read("hub:org/name")


@pytest.mark.filterwarnings("ignore")
def test_a_hub_data_set_is_read_by_position(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The datasets library itself, over a local folder in the place of a name."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set").mkdir()
    lines(tmp_path / "set" / "train.jsonl", *({"instruction": f"Do {i}."} for i in range(300)))

    async def main() -> tuple[int, str, Sequence[Seed]]:
        source = await open_seeds(f"hub:{tmp_path / 'set'}", start=290)
        return await source.count(), await source.sha256(), await source.read(99)

    count, digest, seeds = run_real(main())
    assert count == 300
    assert len(digest) == 64
    assert seeds == [Seed(number, f"Do {number}.") for number in range(290, 300)]
    with pytest.raises(SeedError, match=f"hub:{tmp_path / 'none'}: cannot be loaded"):
        read(f"hub:{tmp_path / 'none'}")


class SlowRows:
    """Rows that come only when they are let."""

    name = "slow"

    def __init__(self) -> None:
        self.is_reading = threading.Event()
        self.release = threading.Event()

    def rows(self, start: int) -> Rows:
        for number in range(start, 6):
            self.is_reading.set()
            self.release.wait()
            yield RawRow(number, f"row {number}", GOOD)

    def count(self) -> int:
        return 6

    def digest(self) -> str:
        return ""


def test_a_cancelled_read_loses_no_seed() -> None:
    """What the thread had begun to read is there for the next read."""

    async def main() -> list[Seed]:
        slow = SlowRows()
        source = Seeds(slow, row_format="auto", start=0, limit=None, max_bad=None)
        async with asyncio.TaskGroup() as group:
            first = group.create_task(source.read(3))
            await asyncio.to_thread(slow.is_reading.wait)
            first.cancel()
        slow.release.set()
        seeds: list[Seed] = []
        while some := await source.read(2):
            seeds += some
        return seeds

    assert [seed.number for seed in run_real(main())] == list(range(6))
