"""A throwaway PostgreSQL cluster: made in a temporary folder, on a free loopback port."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path

import psutil

USER = "rankloop"


def find_binaries() -> Path | None:
    """Return the folder of `initdb` and `pg_ctl`, or None where PostgreSQL is not installed."""
    on_path = shutil.which("pg_ctl")
    if on_path and Path(on_path).with_name("initdb").exists():
        return Path(on_path).parent
    versions = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest_first = sorted(versions, key=lambda path: float(path.parts[-3]), reverse=True)
    return newest_first[0].parent if newest_first else None


def free_port() -> int:
    """Return a loopback port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class PostgresCluster:
    """Start a cluster in `__enter__`, and stop and delete it in `__exit__`."""

    def __init__(self, binaries: Path, *, durable: bool = False, connections: int = 60) -> None:
        """`durable` is PostgreSQL's own default; tests do without, as no power fails in them."""
        self._settings = ["listen_addresses=127.0.0.1", f"max_connections={connections}"]
        if not durable:
            self._settings += ["fsync=off", "full_page_writes=off"]
        self._binaries = binaries
        # PostgreSQL refuses to run as root; the account that its package made is used instead.
        self._account = "postgres" if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="rankloop-postgres-"))
        self.port = free_port()

    def url(self, database: str) -> str:
        """Return the SQLAlchemy URL of `database`."""
        return f"postgresql+psycopg://{USER}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> "PostgresCluster":
        if self._account:
            entry = pwd.getpwnam(self._account)
            os.chown(self._folder, entry.pw_uid, entry.pw_gid)
        self._run(
            "initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "--locale=C",
            "--no-sync",
        )  # fmt: skip
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._run("pg_ctl", "-D", self._data, "-m", "immediate", "-w", "stop")
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start the server, after a kill too: it then recovers what was committed."""
        settings = [*self._settings, f"unix_socket_directories={self._folder}"]
        options = " ".join([f"-p {self.port}", *(f"-c {setting}" for setting in settings)])
        log = self._folder / "log"
        self._run(
            "pg_ctl", "-D", self._data, "-l", log, "-w", "-t", "60", "-o", options, "start"
        )  # fmt: skip

    def restart(self) -> None:
        """Stop the server as an administrator does, who ends every connection, and start it."""
        self._run("pg_ctl", "-D", self._data, "-m", "fast", "-w", "stop")
        self.start()

    def kill(self) -> None:
        """Kill the server and all its processes with -9, and wait until they are gone."""
        postmaster = psutil.Process(int((self._data / "postmaster.pid").read_text().split()[0]))
        processes = [postmaster, *postmaster.children(recursive=True)]
        for each in processes:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(processes, timeout=20)

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def _run(self, program: str, *arguments: str | Path) -> None:
        command = [str(self._binaries / program), *map(str, arguments)]
        if self._account:
            command = ["runuser", "-u", self._account, "--", *command]
        # The server keeps the pipes of `pg_ctl start` open, so its output goes to a file.
        with (self._folder.parent / f"{self._folder.name}.out").open("w+") as output:
            done = subprocess.run(
                command, stdout=output, stderr=subprocess.STDOUT, cwd="/", check=False
            )
            output.seek(0)
            text = output.read()
        Path(output.name).unlink()
        if done.returncode:
            raise RuntimeError(f"{program} failed: {text.strip()[-2000:]}")
