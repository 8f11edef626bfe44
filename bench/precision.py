"""Which parts of a model may be rounded to half precision before the order of the scores changes, and what that gains.

    python -m bench.precision [--small NAME] [--large NAME] [--device D] [--rows N] [--sets N] [--save] [--quick]

Two models, the package's default convention, the same samples in every setting. `pi_dual` (Eq. 5) is what selects, so
its order counts: over the candidates of real sets, and, as the gap of both IFDs, over independent rows. The cheapest
setting with a rank correlation of 0.995 with float32 in both is what a device should have as its default.

Parts: `products` are the matrix products of the layers, `head` that with the output matrix, `body` is all else (the
sum through the layers, norms, attention). The last softmax is float32 always. Rows with `short` score responses of at
most so many characters in float32 and the others in the setting named. A CPU computes float16 as a GPU does, more
slowly: operands are rounded, and multiplied as float32.
"""

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from statistics import mean, median
from tempfile import TemporaryDirectory
from typing import Any

from bench.harness import samples as rows
from bench.harness.child import Child
from bench.harness.ranks import bin_of, quantile, relative, spearman
from bench.harness.report import SCORING, Report, parser_of, table
from star_agents.core.records import Sample
from star_agents.scoring.sample_crew import SAMPLES_PER_REQUEST

WANTED = 0.995
BINS = (5, 15, 50, 150)
"""Upper ends of the bins of response tokens."""
F32, BF16, F16 = "float32", "bfloat16", "float16"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """Dtypes by part; responses of at most `short` characters are scored in float32 all the same."""

    name: str
    body: str
    products: str
    head: str
    short: int = 0

    @property
    def precision(self) -> dict[str, str]:
        """For the process that scores."""
        return {"body": self.body, "products": self.products, "head": self.head}


EXACT = Setting(name="float32", body=F32, products=F32, head=F32)
PRODUCTS = Setting(name="bfloat16 products", body=F32, products=BF16, head=F32)
SETTINGS = (
    EXACT,
    Setting(name="bfloat16", body=BF16, products=BF16, head=BF16),
    Setting(name="bfloat16, float32 head", body=BF16, products=BF16, head=F32),
    Setting(name="bfloat16 products and head", body=F32, products=BF16, head=BF16),
    PRODUCTS,
    Setting(name="float16 products and head", body=F32, products=F16, head=F16),
    replace(PRODUCTS, name="bfloat16 products, short float32", short=150),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one setting gave under both models, in the order of the samples. A sample without a score is None."""

    wall_s: float
    tokens: int
    small: list[float | None]
    large: list[float | None]
    lengths: list[int]
    """Response tokens under the small model."""


def main() -> None:
    options = options_of()
    source, answers = rows.independent(rows.rows_of(), options.rows), rows.candidates()[: options.sets]
    samples = [*source, *(sample for group in answers for sample in group)]
    with TemporaryDirectory() as folder, ExitStack() as stack:
        pair = [stack.enter_context(child(name, options, Path(folder))) for name in (options.small, options.large)]
        found = {}
        for setting in SETTINGS:
            found[setting.name] = scored(setting, samples, pair, Path(folder))
            print(setting.name, f"{found[setting.name].wall_s:.1f} s", flush=True)
    groups = [len(group) for group in answers]
    Report(
        name="precision-" + options.device.partition(":")[0],
        command=f"python -m bench.precision --rows {options.rows} --sets {options.sets}" + " --quick" * options.quick,
        rows=[row(setting.name, found, len(source), groups) for setting in SETTINGS],
        notes=notes(found, len(source), groups),
        more={"models": [options.small, options.large], "found": {name: asdict(one) for name, one in found.items()}},
        packages=SCORING,
    ).show(save=options.save)


def options_of() -> argparse.Namespace:
    """The command line; `--quick` wins over the sizes."""
    parser = parser_of(__doc__)
    parser.add_argument("--small", default="smollm2-135m", metavar="NAME")
    parser.add_argument("--large", default="gemma3-270m", metavar="NAME")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--rows", type=int, default=24, help="independent rows")
    parser.add_argument("--sets", type=int, default=6, help="candidate sets of four or five")
    options = parser.parse_args()
    if options.quick:
        options.small = options.large = "tiny"
        options.rows, options.sets = 6, 2
    return options


def child(name: str, options: argparse.Namespace, folder: Path) -> AbstractContextManager[Child]:
    """The process of one model."""
    from bench.scorers.models import find_model
    from star_agents.scoring.child import WORKER_ENVIRON
    from star_agents.scoring.cores import usable_cores

    model = find_model(name, folder, rows.texts_of(rows.rows_of()))
    task = {"model": model, "device": options.device, "dtype": F32, "request": SAMPLES_PER_REQUEST}
    environ = {**os.environ, "HF_HUB_OFFLINE": "1"} | WORKER_ENVIRON
    environ["OMP_NUM_THREADS"] = str(usable_cores())
    command = [sys.executable, "-m", "bench.scorers.precise", json.dumps(task)]
    return Child.started(command, folder / f"{name}.log", environ)


def scored(setting: Setting, samples: Sequence[Sample], pair: Sequence[Child], folder: Path) -> Found:
    """All samples under both models, one model after the other."""
    is_short = [len(sample.response) <= setting.short for sample in samples]
    wanted = [(EXACT.precision, True), (setting.precision, False)]
    split = [(precision, [at for at, own in enumerate(is_short) if own is side]) for precision, side in wanted]
    parts = [(precision, members) for precision, members in split if members]
    told: list[list[Mapping[str, Any]]] = [[], []]
    for model, mine in zip(pair, told, strict=True):
        for precision, members in parts:
            file = rows.write_samples((samples[at] for at in members), folder / "samples.jsonl")
            mine.append(model.ask({"file": str(file), "precision": precision}))
    order = [at for _, members in parts for at in members]
    small, large = ([value for each in mine for value in each["ifd"]] for mine in told)
    lengths = [length for each in told[0] for length in each["lengths"]]
    return Found(
        wall_s=sum(each["wall_s"] for mine in told for each in mine),
        tokens=sum(each["tokens"] for mine in told for each in mine),
        small=in_order(order, small),
        large=in_order(order, large),
        lengths=in_order(order, lengths),
    )


def in_order(order: Sequence[int], values: Sequence[Any]) -> list[Any]:
    """Put `values[n]` at place `order[n]`."""
    return [value for _, value in sorted(zip(order, values, strict=True), key=lambda pair: pair[0])]


def row(name: str, found: Mapping[str, Found], num_rows: int, groups: Sequence[int]) -> dict[str, Any]:
    """A line of the table."""
    own, exact = found[name], found[EXACT.name]
    off = errors(own, exact)
    by_set = [pi_duals(gaps(one)[num_rows:], groups) for one in (own, exact)]
    of_gaps, of_duals = orders(own, exact, num_rows, groups)
    return {
        "setting": name,
        "tokens / s": own.tokens / own.wall_s,
        "x float32": exact.wall_s / own.wall_s,
        "rank of gap, rows": of_gaps,
        "rank of pi_dual, sets": of_duals,
        "within a set": mean(order_kept(*pair) for pair in zip(*by_set, strict=True)),
        "same winner": mean(first(one) == first(two) for one, two in zip(*by_set, strict=True)),
        "IFD off, median": median(off),
        "95 %": quantile(off, 0.95),
        "max": max(off),
    }


def orders(own: Found, exact: Found, num_rows: int, groups: Sequence[int]) -> tuple[float, float]:
    """Rank correlations with float32: of the gaps of rows, and of `pi_dual` over the candidates of all sets."""
    one, two = gaps(own), gaps(exact)
    duals = [list(chain.from_iterable(pi_duals(each[num_rows:], groups))) for each in (one, two)]
    return order_kept(one[:num_rows], two[:num_rows]), order_kept(*duals)


def gaps(found: Found) -> list[float | None]:
    """IFD under the small model less that under the large."""
    pairs = zip(found.small, found.large, strict=True)
    return [None if small is None or large is None else small - large for small, large in pairs]


def pi_duals(values: Sequence[float | None], groups: Sequence[int]) -> list[list[float | None]]:
    """Eq. 5 for each set: gaps over the set's largest, no less than 0; all 0 where none is positive."""
    split, at = [], 0
    for size in groups:
        own = values[at : at + size]
        most = max((value for value in own if value is not None), default=0.0)
        split.append([None if each is None else max(0.0, each) / most if most > 0 else 0.0 for each in own])
        at += size
    return split


def order_kept(one: Sequence[float | None], two: Sequence[float | None]) -> float:
    """Rank correlation over what has a score in both."""
    pairs = [(left, right) for left, right in zip(one, two, strict=True) if left is not None and right is not None]
    return spearman([left for left, _ in pairs], [right for _, right in pairs])


def first(values: Sequence[float | None]) -> int:
    """Where the largest is."""
    return max(range(len(values)), key=lambda at: -1.0 if (value := values[at]) is None else value)


def errors(own: Found, exact: Found) -> list[float]:
    """Relative errors of the IFD under both models; one where a score is missing that float32 has."""
    found = [*own.small, *own.large]
    true = [*exact.small, *exact.large]
    return [1.0 if one is None else relative(one, two) for one, two in zip(found, true, strict=True) if two is not None]


def notes(found: Mapping[str, Found], num_rows: int, groups: Sequence[int]) -> list[str]:
    """The verdict, and the errors by length."""
    exact = found[EXACT.name]
    kept = [name for name, own in found.items() if min(orders(own, exact, num_rows, groups)) >= WANTED]
    best = min(kept, key=lambda name: found[name].wall_s)
    bins = [bin_of(length, BINS) for length in exact.lengths]
    names = sorted(set(bins), key=lambda name: int(name.split("..")[0]))
    lines = [by_length(name, own, exact, bins) for name, own in found.items() if own is not exact]
    counts = ", ".join(f"{bins.count(name)} of {name} tokens" for name in names)
    return [
        f"- cheapest setting with a rank correlation >= {WANTED} in both: {best}",
        "",
        "Relative error of the small model's IFD by response tokens, median and maximum:",
        "",
        table([{"setting": line["setting"], **{name: line[name] for name in names}} for line in lines]),
        "",
        f"{num_rows} independent rows, {sum(groups)} candidates in {len(groups)} sets; responses: {counts}.",
    ]


def by_length(name: str, own: Found, exact: Found, bins: Sequence[str]) -> dict[str, str]:
    """A line of the second table."""
    line = {"setting": name}
    for each in set(bins):
        scores = zip(own.small, exact.small, bins, strict=True)
        off = [relative(one, two) for one, two, own_bin in scores if own_bin == each and one is not None and two]
        line[each] = f"{median(off):.2%} ({max(off):.2%})" if off else ""
    return line


if __name__ == "__main__":
    main()
