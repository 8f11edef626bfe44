"""The command line starts fast and never drags a model library into the control process."""

import subprocess
import sys
import time

CONTROL_MODULES = (
    "star_agents.cli.main",
    "star_agents.service.run.assembly",
    "star_agents.service.life.lifecycle",
    "star_agents.scoring.pool",
    "star_agents.scoring.zoo",
)


def test_control_process_imports_no_model_library() -> None:
    """Everything the control process runs imports without torch, transformers or sentence-transformers."""
    script = (
        f"import sys, importlib; [importlib.import_module(name) for name in {CONTROL_MODULES!r}]; "
        "print([name for name in ('torch', 'transformers', 'sentence_transformers') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_answers_in_half_a_second() -> None:
    """`star-agents --help`, best of five: a loaded machine is no fault of ours."""
    assert min(_seconds_for_help() for _ in range(5)) < 0.5


def _seconds_for_help() -> float:
    began = time.perf_counter()
    command = [sys.executable, "-m", "star_agents", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "serve-run" in done.stdout
    return time.perf_counter() - began
