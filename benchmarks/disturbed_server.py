"""A server that is killed, and whose database connections are cut, while people work at it."""

import random
import signal
import subprocess
import sys

from sqlalchemy import Engine, create_engine, text

from benchmarks.labeling_invariants import above_overlap, unfinished
from benchmarks.pages import Server
from storage.engine import build_engine, reading
from storage.settings import Settings

#: a lease is short, so that what is abandoned comes back within the run
LEASE_MINUTES = 0.5
_DIE_WITHIN = """
import os, signal, sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
connection.execute("UPDATE task SET status = 'withdrawn', judged = 99")
connection.execute("UPDATE judgment SET ranks = '[]'")
os.kill(os.getpid(), signal.SIGKILL)
"""


class DisturbedServer:
    """The server, which can be killed, and its database."""

    def __init__(self, settings: Settings) -> None:
        """Serve, and wait for the first page."""
        self.settings = settings
        self.engine: Engine = build_engine(settings.url)
        self.server = self._serve(None)
        self.server.wait_for_page()

    @property
    def url(self) -> str:
        """Return where the server listens, also after a kill."""
        return self.server.url

    def _serve(self, port: int | None) -> Server:
        return Server(
            self.settings.home,
            port=port,
            database_url=self.settings.url,
            assignment_minutes=str(LEASE_MINUTES),
        )

    def kill(self) -> None:
        """Kill the server with -9 and start it again on the same port."""
        self.server.process.send_signal(signal.SIGKILL)
        self.server.process.wait()
        self.server = self._serve(self.server.port)

    def cut(self, chance: random.Random) -> int:
        """End some connections of the server, or let a process die within a transaction."""
        if self.engine.dialect.name == "sqlite":
            file = str(self.engine.url.database)
            subprocess.run([sys.executable, "-c", _DIE_WITHIN, file], check=False)
            return 1
        # This process's own connections are not for the administrator to end.
        self.engine.dispose()
        return _terminate(self.settings.url, chance)

    def unfinished(self) -> list[str]:
        """Return the tasks that want more judgments."""
        with reading(self.engine) as session:
            return unfinished(session)

    def above_overlap(self) -> list[str]:
        """Return the tasks that are lent or judged too often at this moment."""
        with reading(self.engine) as session:
            return above_overlap(session)

    def stop(self) -> None:
        """End the server."""
        self.server.stop()
        self.engine.dispose()


def _terminate(url: str, chance: random.Random) -> int:
    administrator = create_engine(url, isolation_level="AUTOCOMMIT")
    others = "datname = current_database() AND pid <> pg_backend_pid()"
    with administrator.connect() as connection:
        found = connection.execute(text(f"SELECT pid FROM pg_stat_activity WHERE {others}"))
        chosen = [pid for (pid,) in found if chance.random() < 0.5]
        for pid in chosen:
            connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    administrator.dispose()
    return len(chosen)
