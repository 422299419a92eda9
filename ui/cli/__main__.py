"""Run the command line as `python -m ui.cli`, as `rankloop up` starts its children."""

from ui.cli import main

main()
