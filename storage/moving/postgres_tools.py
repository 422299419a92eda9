"""pg_dump and pg_restore: found on the path or where Debian keeps them, run without a shell."""

import os
import shutil
import subprocess
from pathlib import Path

from sqlalchemy import Engine

from storage.errors import Unavailable

DEBIAN = Path("/usr/lib/postgresql")


def dump_database(engine: Engine, file: Path) -> None:
    """Write the database of `engine`, as it is at one moment, into `file` (pg_dump's own format).

    Raises `Unavailable` where pg_dump is missing or fails.
    """
    _run("pg_dump", engine, ["--format=custom", "--no-owner", "--no-privileges", f"--file={file}"])


def restore_database(engine: Engine, file: Path, *, clean: bool) -> None:
    """Bring the dump in `file` into the database of `engine`, whole or not at all.

    With `clean` what the dump holds is dropped first, in the same transaction. Raises `Unavailable`
    where pg_restore is missing or fails; nothing is changed then.
    """
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges"]
    options += ["--clean", "--if-exists"] if clean else []
    _run("pg_restore", engine, [*options, str(file)])


def find_tool(name: str) -> str:
    """Return the program's path, the newest where there are several; raise `Unavailable`."""
    newest = sorted(
        (path for path in DEBIAN.glob(f"*/bin/{name}") if path.parts[-3].isdecimal()),
        key=lambda path: int(path.parts[-3]),
    )
    # Debian's wrapper on the path takes an old version where an old cluster is about.
    found = str(newest[-1]) if newest else shutil.which(name)
    if found is None:
        raise Unavailable(
            f"{name} was not found; install PostgreSQL's client programs (Debian: apt-get install "
            "postgresql-client), of the server's version or newer."
        )
    return found


def _run(name: str, engine: Engine, options: list[str]) -> None:
    url = engine.url.set(drivername="postgresql", password=None)
    environment = dict(os.environ)
    if engine.url.password:
        # Not among the arguments: those are for every user of the machine to read.
        environment["PGPASSWORD"] = str(engine.url.password)
    address = url.render_as_string(hide_password=False)
    done = subprocess.run(
        [find_tool(name), f"--dbname={address}", "--no-password", *options],
        env=environment,
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        said = lines[0] if lines else f"exit code {done.returncode}"
        raise Unavailable(f"{name} failed ({said}); nothing was changed.")
