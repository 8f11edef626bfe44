"""`star-agents`, and `python -m star_agents`.

Law: Ctrl-C never shows anybody where in our imports they were. Until a command runs, which knows what to do about it,
SIGINT ends the process as it ends any other program: at once, in silence.
"""

import signal
from typing import NoReturn


def main() -> NoReturn:
    """Import the command line, and run what it is told."""
    is_ours = signal.getsignal(signal.SIGINT) is signal.default_int_handler  # else somebody has it ignored: nohup
    if is_ours:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from star_agents.cli.main import main as command_line  # this is what takes long

    if is_ours:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    command_line()


if __name__ == "__main__":
    main()
