"""Causes, as engines word them; the lines were taken from vLLM 0.32.0, transformers 5.19 and uvicorn."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from star_agents.endpoints.servers.causes import SHOWN, Cause, cause_of

CORE = "(EngineCore pid=24562) ERROR 11-22 19:55:55 [core.py:1510] "
ECHO = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {'EngineCore': 1}"


@pytest.mark.fault("F-46")
@pytest.mark.parametrize(
    ("line", "begins", "may_pass"),
    [
        ("api_server.py: error: unrecognized arguments: --no-such-flag", "it does not take one of its arg", False),
        ("api_server.py: error: argument --dtype: invalid choice: 'x'", "it does not take one of its arg", False),
        ("│ No such option: --no-such-flag      │", "it does not take one of its arg", False),
        ("  Value error, User-specified max_model_len (900000) is greater than", "it does not take one of", False),
        ("OSError: You are trying to access a gated repo.", "the model is gated", False),
        ("Cannot access gated repo for url https://huggingface.co/x/y.", "the model is gated", False),
        ("OSError: no/such is not a local folder and is not a valid model identifier", "there is no such mod", False),
        ("OSError: Repo id must be in the form 'repo_name': '/no/such/folder'.", "there is no such model", False),
        (CORE + "ValueError: Model architectures ['X'] are not supported for now.", "this version cannot", False),
        (CORE + "ValueError: No available memory for the cache blocks.", "the model leaves no room", False),
        (CORE + "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate", "memory ran out", True),
        (CORE + "ValueError: Free memory on device cuda:0 (3.1/79.1 GiB) on startup is less than desired GPU memory "
         "utilization (0.92, 72.8 GiB).", "memory ran out", True),
        (CORE + "ValueError: Available memory on node 0 (21.58/23.54 GiB) is less than", "memory ran out", True),
        ("OSError: [Errno 98] Address already in use", "its port is taken", True),
        ("ERROR: [Errno 98] error while attempting to bind on address ('127.0.0.1', 1): in use", "its port", True),
        ("OSError: [Errno 28] No space left on device", "the disk is full", True),
        ("OSError: We couldn't connect to 'https://huggingface.co' to load the files", "the model cannot be f", True),
    ],
)  # fmt: skip
def test_what_is_known(line: str, begins: str, may_pass: bool) -> None:
    """Each known line is named in words of ours, quoted, and said to pass or not."""
    cause = cause_of(["INFO: starting", line, "Traceback (most recent call last):", "  raise it", ECHO], 1)
    assert cause.line.startswith(begins)
    assert ": " in cause.line
    assert cause.may_pass is may_pass


@pytest.mark.fault("F-46")
def test_what_is_not_known_is_the_last_error_that_is_nobodys_echo() -> None:
    """Errors are passed on from process to process; the first of them is the one to show."""
    lines = [CORE + "RuntimeError: CPU Generator does not use offset", "(APIServer pid=1) " + ECHO]
    assert cause_of(lines, 1) == Cause("RuntimeError: CPU Generator does not use offset")
    assert cause_of([ECHO], 1) == Cause("it does not say why")
    assert cause_of(["vllm.v1.engine.exceptions.EngineDeadError: EngineCore encountered"], 0).line.startswith("its eng")
    assert "killed" in cause_of([], -9).line


@given(st.lists(st.text(max_size=80), max_size=20), st.none() | st.integers(-64, 255))
def test_any_log_has_a_cause(lines: list[str], code: int | None) -> None:
    """One line, of bounded length."""
    cause = cause_of(lines, code)
    assert cause.line
    assert len(cause.line) < SHOWN + 100
