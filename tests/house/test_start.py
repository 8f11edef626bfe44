"""The command line starts fast and never drags a model library into the control process."""

import subprocess
import sys
import time

CONTROL_MODULES = (
    "star_agents.cli.main",
    "star_agents.service.assembly",
    "star_agents.service.lifecycle",
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
    times = []
    for _ in range(5):
        began = time.perf_counter()
        done = subprocess.run(
            [sys.executable, "-m", "star_agents", "--help"], capture_output=True, text=True, check=True
        )
        times.append(time.perf_counter() - began)
    assert "serve-run" in done.stdout
    assert min(times) < 0.5
