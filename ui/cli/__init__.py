"""The command line `rankloop`; importing it loads neither torch nor Streamlit."""

import sys

__all__ = ["main"]


def main() -> None:
    """Run `rankloop` with the process's arguments and exit: 0 done, 1 failed, 2 wrong usage."""
    # Loading the commands takes a moment in which somebody may press Ctrl-C, too.
    try:
        from ui.cli.commands import cli
        from ui.cli.frame import run
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        raise SystemExit(1) from None
    raise SystemExit(run(cli))
