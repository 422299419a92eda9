"""The command line `rankloop`; importing it loads neither torch nor Streamlit."""

from ui.cli.commands import cli
from ui.cli.frame import run

__all__ = ["cli", "main"]


def main() -> None:
    """Run `rankloop` with the process's arguments and exit: 0 done, 1 failed, 2 wrong usage."""
    raise SystemExit(run(cli))
