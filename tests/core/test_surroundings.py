"""What a program that we start may see of our environment."""

import ast
from pathlib import Path

from star_agents.core.surroundings import handed_on

PACKAGE = Path(__file__).parents[2] / "star_agents"
STARTS = {"create_subprocess_exec", "create_subprocess_shell", "Popen", "run", "call", "check_output", "check_call"}
OURSELVES = {"cli/detach.py"}
"""Starts the run itself, which needs its keys."""


def test_a_prefix_hands_on_no_credential() -> None:
    """What drivers and libraries read goes on; what sounds like a key does not, whatever it begins with."""
    environ = {
        "PATH": "/bin",
        "NVIDIA_VISIBLE_DEVICES": "0",
        "NVIDIA_DRIVER_CAPABILITIES": "all",
        "NVIDIA_API_KEY": "k",
        "HF_HOME": "/m",
        "HF_TOKEN": "t",
        "hf_password": "p",
        "OPENAI_API_KEY": "k",
    }
    assert set(handed_on(environ)) == {"PATH", "NVIDIA_VISIBLE_DEVICES"}
    assert set(handed_on(environ, "NVIDIA_", "HF_", "hf_")) == {
        *("PATH", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES", "HF_HOME"),
    }


def test_nothing_is_started_with_all_that_we_know() -> None:
    """Every call of the package that starts a program names its environment."""
    calls = {
        (str(file.relative_to(PACKAGE)), call.lineno): {keyword.arg for keyword in call.keywords}
        for file in PACKAGE.rglob("*.py")
        for call in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(call, ast.Call) and _starts_a_program(call.func)
    }
    assert len(calls) > 5
    assert [place for place, given in calls.items() if "env" not in given and place[0] not in OURSELVES] == []


def _starts_a_program(called: ast.expr) -> bool:
    if not (isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name)):
        return False
    return called.value.id in {"asyncio", "subprocess"} and called.attr in STARTS - (
        {"run"} if called.value.id == "asyncio" else set()
    )
