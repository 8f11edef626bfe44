"""Rows that are left out: near duplicates and benchmark questions."""

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path
from struct import pack

import pytest

from star_agents.core.errors import SeedError
from star_agents.storage.benchmarks import Benchmarks, Overlap, read_benchmarks
from star_agents.storage.export import ExportOptions, export
from star_agents.storage.near_duplicates import Sieve, embedding_sieve, minhash_sieve
from star_agents.storage.picks import TAKE_ALL, Left, Pick, picks
from tests.loops import run_real
from tests.storage.contests import Answer, contest, row, write_run

WORDS = [f"{a}{b}{c}" for a in "bdfgklm" for b in ("ar", "en", "il", "on") for c in ("tag", "mer", "ssen", "ble")]
LONG = "Explain in plain words how a steam engine turns the heat of burning coal into motion, for a child of ten."
BENCHMARK = (
    "A train leaves the station at nine and travels at sixty miles an hour, when does it reach a town that is "
    "one hundred and fifty miles away?"
)


def stream(*questions: str, answer: str = "Yes.") -> list[Pick | Left]:
    return list(
        picks((row(contest(n, (Answer(text=answer, pi=0.5),), text=q)) for n, q in enumerate(questions)), TAKE_ALL)
    )


def dropped(sieve: Sieve, *questions: str) -> dict[int, str]:
    return {item.seed: item.detail for item in sieve(iter(stream(*questions))) if isinstance(item, Left)}


def sentence(chance: random.Random, words: int = 30) -> str:
    return " ".join(chance.choices(WORDS, k=words))


def test_a_question_told_twice_is_kept_once() -> None:
    """Case, white space and a word more or less are no difference; the first stays, and the other names it."""
    again = LONG.upper().replace(" ", "  ")
    found = dropped(minhash_sieve(), LONG, "Something else altogether, about birds.", again, LONG + " Briefly.")
    assert found == {2: "seed 0", 3: "seed 0"}


def test_minhash_tells_near_from_far() -> None:
    """Of 200 pairs at a Jaccard similarity of about 0.95 nearly all are found, and of 200 strangers none."""
    chance = random.Random(5)
    strangers = [sentence(chance, 60) for _ in range(200)]
    near = [f"{text} {chance.choice(WORDS)}" for text in strangers]
    found = dropped(minhash_sieve(), *strangers, *near)
    assert not [seed for seed in found if seed < 200]
    assert len(found) >= 195
    assert all(found[seed] == f"seed {seed - 200}" for seed in found)


def direction(question: str) -> bytes:
    """A vector at an angle that the question's last word gives, in degrees."""
    angle = math.radians(float(question.rsplit(maxsplit=1)[-1]))
    return pack("<2f", math.cos(angle), math.sin(angle))


def test_embeddings_tell_by_the_angle() -> None:
    """Cos 10 degrees is 0.985 and cos 20 degrees 0.940: only the first is too near."""
    asked: list[str] = []

    def embed(texts: Sequence[str]) -> list[bytes]:
        asked.extend(texts)
        return [direction(text) for text in texts]

    found = dropped(embedding_sieve(embed, 0.95), "at 0", "at 10", "at 20", "at 200")
    assert found == {1: "seed 0"}
    assert len(asked) == 4


def test_the_runs_own_vectors_are_not_made_again() -> None:
    """A question that is the seed's has its vector already; what is left out otherwise needs none."""
    items = [
        Pick(example=item.example, split_key="", embedding=direction(item.example.question))
        for item in stream("at 0", "at 1")
        if isinstance(item, Pick)
    ]

    def embed(texts: Sequence[str]) -> list[bytes]:
        raise AssertionError(texts)

    gone = Left(seed=9, source_id="", reason="min_score", pi=None)
    out = list(embedding_sieve(embed)(iter([gone, *items])))
    assert [isinstance(item, Left) for item in out] == [True, False, True]


def test_batches_do_not_hide_duplicates() -> None:
    """Twins on both sides of a batch's end, and inside one."""
    questions = [f"at {n % 359}" for n in range(600)]
    found = dropped(embedding_sieve(lambda texts: [direction(text) for text in texts], 0.99999), *questions)
    assert sorted(found) == list(range(359, 600))


def overlaps(benchmarks: Benchmarks, *questions: str, answer: str = "Yes.") -> list[Overlap]:
    found: list[Overlap] = []
    assert len(list(benchmarks.sift(iter(stream(*questions, answer=answer)), found.append))) == len(questions)
    return found


def of(*questions: str) -> Benchmarks:
    benchmarks = Benchmarks()
    for number, question in enumerate(questions):
        benchmarks.add(question, f"bench:{number + 1}")
    return benchmarks


def test_thirteen_words_in_common_are_enough() -> None:
    """With other punctuation and case; twelve are not enough."""
    words = BENCHMARK.split()
    hit = "Please solve: " + " ".join(words[3:16]).upper().replace(" ", "; ")
    (found,) = overlaps(of("Another question, which is long enough to be looked for", BENCHMARK), hit)
    assert (found.part, found.benchmark, len(found.words.split())) == ("question", "bench:2", 13)
    assert not overlaps(of(BENCHMARK), " ".join(words[3:15]))


def test_an_answer_that_tells_the_question_is_found() -> None:
    """Models repeat what they were trained on."""
    (found,) = overlaps(of(BENCHMARK), "A harmless question", answer=f"As in '{BENCHMARK}' we divide.")
    assert found.part == "response"


def test_a_short_question_counts_whole_and_a_very_short_one_not() -> None:
    """Eight words and more; below that every second row would be hit."""
    benchmarks = of("What is the capital city of France today, please?", "What is 2 + 2?")
    assert (benchmarks.questions, benchmarks.too_short) == (2, 1)
    assert len(overlaps(benchmarks, "Tell me: what is the capital city of France today please", "What is 2 + 2?")) == 1


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("b.txt", f"{BENCHMARK}\n\n"),
        ("b.jsonl", json.dumps({"question": BENCHMARK, "answer": "11:30"})),
        ("b.json", json.dumps([{"prompt": BENCHMARK}])),
        ("b.json", json.dumps([BENCHMARK])),
        ("b.jsonl", json.dumps({"messages": [{"role": "user", "content": BENCHMARK}]})),
    ],
)
def test_benchmarks_are_read_from_any_usual_file(tmp_path: Path, name: str, text: str) -> None:
    """Text by line, JSON lines, JSON; fields as benchmarks name them, or as seeds do."""
    file = tmp_path / name
    file.write_text(text)
    assert len(overlaps(read_benchmarks(file), BENCHMARK)) == 1


@pytest.mark.parametrize(("name", "text", "told"), [
    ("b.jsonl", '{"answer": 4}', "b.jsonl:1: no question"),
    ("b.jsonl", '{"question": ', "b.jsonl:1"),
    ("b.txt", "\n", "holds no question"),
    ("b.csv", "x", "unknown kind of file"),
])  # fmt: skip
def test_a_file_without_questions_is_refused_by_name(tmp_path: Path, name: str, text: str, told: str) -> None:
    """Going on would call a data set clean that nobody has looked at."""
    (tmp_path / name).write_text(text)
    with pytest.raises(SeedError, match=told):
        read_benchmarks(tmp_path / name)
    with pytest.raises(SeedError):
        read_benchmarks(tmp_path / f"no-{name}")


def test_what_was_left_out_is_told_in_files_and_card(tmp_path: Path) -> None:
    """Every seed with its reason, every overlap with its words, and the counts for whoever reads the card."""
    questions = [LONG, BENCHMARK, LONG + " Briefly.", "Why is the sky blue in the day and red at sunset?"]
    seeds = [contest(n, (Answer(text="Yes.", pi=0.5),), text=text) for n, text in enumerate(questions)]
    run_real(write_run(tmp_path / "run.db", seeds))
    options = ExportOptions(benchmarks=of(BENCHMARK), duplicates=minhash_sieve())
    exported = export(tmp_path / "run.db", tmp_path / "out", row_format="messages", candidates=True, options=options)
    assert exported.contents.reasons == {"export.contaminated": 1, "export.duplicate": 1}
    (overlap,) = (json.loads(line) for line in (tmp_path / "out" / "contaminated.jsonl").read_text().splitlines())
    assert (overlap["seed"], overlap["part"], overlap["benchmark"]) == (1, "question", "bench:1")
    told = [json.loads(line) for line in (tmp_path / "out" / "dropped.jsonl").read_text().splitlines()]
    assert [(each["seed"], each["reason"], each["detail"]) for each in told] == [
        (1, "export.contaminated", "bench:1"),
        (2, "export.duplicate", "seed 0"),
    ]
    card = (tmp_path / "out" / "README.md").read_text()
    assert "| `export.contaminated: it holds words of a benchmark question (--decontaminate)` | 1 |" in card
    export(tmp_path / "run.db", tmp_path / "out", row_format="messages")
    assert not (tmp_path / "out" / "contaminated.jsonl").exists()
