"""The process that measures figures for a web server: `python -m ui.figures.measuring FD`.

It is given the settings first, then names of `MEASURES`, and answers each with the figures, or with
None where they could not be measured. It ends when nothing was asked for a while, when its server
is gone, and after many answers: the holes in its heaps end with it, and the next one is started
when it is needed.
"""

import gc
import logging
import os
import signal
import sys
from contextlib import suppress
from multiprocessing.connection import Connection

from storage.telemetry.logs import configure_web_logs
from ui import process
from ui.figures.measures import MEASURES

IDLE_SECONDS = 300.0
MOST_ANSWERS = 400
# Pages, and who is ranking, come first.
_NICENESS = 10

_log = logging.getLogger(__name__)


def answer(connection: Connection, *, idle: float = IDLE_SECONDS, most: int = MOST_ANSWERS) -> None:
    """Answer what the server at the other end of the pipe asks, until there is a reason to end.

    `idle` is in seconds. Raises `EOFError` or `ConnectionError` when the server is gone.
    """
    for _ in range(most):
        if not connection.poll(idle):
            return
        name = connection.recv()
        try:
            with process.reading() as rows:
                found = MEASURES[name](rows)
        except Exception as error:
            # The server tries it, too: what is wrong is said there.
            _log.warning("%s could not be measured: %s", name, error)
            found = None
        connection.send(found)
        del found
        gc.collect()


def main() -> None:
    """Answer on the pipe whose descriptor is the one argument."""
    # Ctrl-C is for the server, whose end ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(OSError):
        os.nice(_NICENESS)
    with Connection(int(sys.argv[1])) as connection, suppress(EOFError, ConnectionError):
        settings = connection.recv()
        configure_web_logs(settings)
        process.configure(settings)
        answer(connection)


if __name__ == "__main__":
    main()
