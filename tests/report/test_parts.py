"""What a report finds in the rows: kinds of tasks, a judge that likes length, examples, settings to show."""

from dataclasses import replace

import numpy as np
import pytest
import yaml

from star_agents.core.records import RowSource
from star_agents.report.bias import Share, length_bias
from star_agents.report.clusters import clusters_of
from star_agents.report.examples import examples
from star_agents.report.sample import Judged, SampledRow, sampled, sampler
from star_agents.report.settings_shown import settings_shown
from tests.storage.contests import Answer, contest, row

ROW = SampledRow(
    seq=1,
    seed=0,
    source=RowSource.CANDIDATE,
    reason="",
    pair="a+b",
    pi=0.5,
    gap=0.1,
    asked="?",
    answered="",
    instruction="?",
    response="!",
    points=(),
    judged=(),
    embedding=b"",
)


def near(axis: int, number: int) -> bytes:
    """A vector along an axis, a little off."""
    vector = np.eye(4)[axis] + 0.05 * np.random.default_rng(number).normal(size=4)
    return bytes((vector / np.linalg.norm(vector)).astype("<f4").tobytes())


def test_kinds_of_tasks_are_found_and_named_by_a_member() -> None:
    """Three heaps of different sizes: each is found whole, with its winner."""
    heaps = {0: 40, 1: 20, 2: 14}
    rows = [
        replace(
            ROW, seed=100 * axis + n, asked=f"kind {axis}, {n}", pair=f"p{axis}", embedding=near(axis, 100 * axis + n)
        )
        for axis, size in heaps.items()
        for n in range(size)
    ]
    found = clusters_of(rows)
    assert [(cluster.rows, cluster.leader) for cluster in found] == [(40, "p0"), (20, "p1"), (14, "p2")]
    assert [cluster.medoid.partition(",")[0] for cluster in found] == ["kind 0", "kind 1", "kind 2"]
    assert found == clusters_of(rows)


def test_without_vectors_or_with_few_rows_there_are_no_kinds() -> None:
    """Nothing is made up; all rows alike are one kind, which tells nothing."""
    assert clusters_of([ROW] * 100) == ()
    assert clusters_of([replace(ROW, embedding=near(0, n)) for n in range(20)]) == ()
    assert clusters_of([replace(ROW, embedding=near(0, 1))] * 100) == ()


def test_a_judge_that_likes_length_is_seen() -> None:
    """It takes the longer one nine times of ten; ties and equal lengths say nothing."""
    judged = [Judged(2.5, float(n % 10 != 0)) for n in range(100)] + [
        Judged(0.4, float(n % 10 == 0)) for n in range(100)
    ]
    found = length_bias([*judged, *[Judged(1.0, 1.0)] * 50, *[Judged(3.0, 0.5)] * 50])
    assert found.longer_won is not None
    assert (found.longer_won.part, found.longer_won.whole) == (180, 200)
    assert 0.84 < found.longer_won.low < 0.9 < found.longer_won.high < 0.94
    shares = dict(found.by_ratio)
    assert isinstance(shares["below 0.5"], Share)
    assert shares["below 0.5"].value == pytest.approx(0.1)
    assert shares["0.5 to 0.8"] is None


def test_wilson_is_wilson() -> None:
    """7 of 10: the interval of Wilson (1927) by its formula."""
    (share,) = [share for _, share in length_bias([Judged(2.5, float(n < 7)) for n in range(10)]).by_ratio if share]
    z, p, n = 1.959964, 0.7, 10
    middle, half = (
        (p + z * z / 2 / n) / (1 + z * z / n),
        z / (1 + z * z / n) * np.sqrt(p * (1 - p) / n + z * z / 4 / n / n),
    )
    assert share.low == pytest.approx(middle - half, abs=1e-6)
    assert share.high == pytest.approx(middle + half, abs=1e-6)


def test_examples_are_the_best_the_middle_and_a_fallback() -> None:
    """By pi, then by the gap; a row is shown once."""
    rows = [replace(ROW, seed=n, pi=pi, gap=gap) for n, (pi, gap) in enumerate([(0.2, 0.9), (1.0, 0.1), (1.0, 0.3)])]
    fallback = replace(ROW, seed=9, source=RowSource.BASE, reason="no_positive_pi", pi=0.0)
    assert [(each.title, each.row.seed) for each in examples([fallback, *rows])] == [
        ("The best", 2),
        ("The middle one", 1),
        ("No candidate was better", 9),
    ]
    assert [each.row.seed for each in examples(rows[:1])] == [0]
    assert examples([]) == ()


def test_a_sampled_row_tells_scores_and_lengths() -> None:
    """Of the candidates that were scored by two models, and of those that the judge was asked about."""
    graded = contest(5, (Answer(text="base", pi=0.1), Answer(text="twice as", pi=0.9), Answer(text="spared")), winner=1)
    found = sampled(row(graded))
    assert (found.seed, found.pair, found.pi, found.response) == (5, "keep+strong", 0.9, "twice as")
    assert [point.is_selected for point in found.points] == [False, True, False]
    assert found.judged == (Judged(2.0, 1.0),)


def test_a_sample_is_about_as_large_as_wanted() -> None:
    """And all of a run that is smaller."""
    share, wanted = sampler(100_000)
    assert share == pytest.approx(0.04)
    assert 3_700 < sum(map(wanted, range(100_000))) < 4_300
    assert sampler(3)[0] == 1.0
    assert all(map(sampler(3)[1], range(3)))


def test_settings_are_shown_without_secrets() -> None:
    """Rather once too often: in keys, URLs, arguments; names of secrets stay, and the rest is as it was."""
    config = {
        "run": {"seed": 3},
        "endpoints": {
            "a": {
                "api_key": "${KEY}",
                "base_urls": ["https://me:pw@host/v1?api_key=one&x=1"],
                "key_header": "x-api-key",
            },
            "b": {"api_key": "sk-two", "extra_body": {"auth_token": "three"}, "max_tokens": 5},
            "c": {"args": ["--api-key", "four", "--hf-token=five", "--max-model-len", "4096"], "proxy_password": "six"},
            "d": {"api_key": "file:/run/secrets/key", "tokens": 7},
        },
        "laboratory": {"seeds": 9},
        "prompt_files": {},
    }
    shown = settings_shown(config)
    assert not [word for word in ("pw@", "one", "sk-two", "three", "four", "five", "six") if word in shown]
    read = yaml.safe_load(shown)
    assert read.keys() == {"run", "endpoints"}
    assert read["endpoints"]["a"] == {
        "api_key": "${KEY}",
        "base_urls": ["https://host/v1?api_key=(taken out)&x=1"],
        "key_header": "x-api-key",
    }
    assert read["endpoints"]["b"]["max_tokens"] == 5
    assert read["endpoints"]["c"]["args"] == [
        "--api-key",
        "(taken out)",
        "--hf-token=(taken out)",
        "--max-model-len",
        "4096",
    ]
    assert read["endpoints"]["d"] == {"api_key": "file:/run/secrets/key", "tokens": 7}
