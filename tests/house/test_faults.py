"""Every fault that the documents promise to deal with has a test that carries its id."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def marked(file: Path) -> Iterator[str]:
    """The ids in `pytest.mark.fault(...)`, wherever it stands in a file."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.fault":
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def test_every_row_is_proven() -> None:
    """The ids of docs/faults.md and those that tests carry are the same, and none is left out."""
    promised = re.findall(r"^\| (F-\d\d) \|", (ROOT / "docs/faults.md").read_text(), re.MULTILINE)
    proven = {name for file in (ROOT / "tests").rglob("test_*.py") for name in marked(file)}
    assert promised[:54] == [f"F-{number:02}" for number in range(1, 55)]
    assert proven == set(promised)
