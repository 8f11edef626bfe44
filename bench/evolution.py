"""What does evolution earn, and when? Studies in the laboratory, where the truth is known (docs/evolution.md).

The studies are `figure5`, `table3`, `rounds`, `rules`, `dollars` and `costs`; `--only` chooses. All but the last run
the real pipeline on virtual time, so their figures are the same on any machine: only seeds/s are its own. `--full` is
as many runs as the committed figures have. `--save` also draws the plots into docs/img.
"""

import time
from collections.abc import Callable
from pathlib import Path

from bench.harness.report import Report, parser_of
from bench.studies import costs, dollars, figure5, rounds, rules, table3
from bench.studies.plots import save
from bench.studies.study import FULL, QUICK, USUAL, Scale, Study

IMAGES = Path(__file__).parents[1] / "docs" / "img"
STUDIES: dict[str, Callable[[Scale], Study]] = {
    "figure5": figure5.study,
    "table3": table3.study,
    "rounds": rounds.study,
    "rules": rules.study,
    "dollars": dollars.study,
    "costs": costs.study,
}


def main() -> None:
    parser = parser_of(__doc__)
    parser.add_argument("--full", action="store_true", help="as many runs as the committed figures have")
    parser.add_argument("--only", nargs="+", choices=STUDIES, default=list(STUDIES), metavar="STUDY")
    given = parser.parse_args()
    scale = QUICK if given.quick else FULL if given.full else USUAL
    rows = []
    for name in given.only:
        began = time.perf_counter()
        found = STUDIES[name](scale)
        command = f"python -m bench.evolution --only {name}" + (f" --{scale.name}" if scale is not USUAL else "")
        is_kept = given.save and not given.quick
        report = Report(
            name=f"evolution-{name}",
            command=command,
            rows=found.rows,
            notes=found.notes,
            more={"claims": dict(found.claims)},
        )
        report.show(save=is_kept)
        if is_kept:
            save(found.figure, IMAGES / f"evolution-{name}.svg")
        took_s = time.perf_counter() - began
        for claim, held in found.claims.items():
            rows.append({"study": name, "took s": took_s, "claim": claim, "holds": held})
    Report(name="evolution", command="python -m bench.evolution", rows=rows).show(save=False)


if __name__ == "__main__":
    main()
