"""N web servers on one PostgreSQL behind nginx, with the config that is shipped in `deploy/`."""

import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.pages import Server, free_port
from storage.settings import Settings

CONFIG = Path(__file__).parent.parent / "deploy" / "nginx" / "rankloop.conf"
CONNECTIONS = 8192  # of nginx; a page holds two, one on either side
MAIN = """\
worker_processes 1;
worker_rlimit_nofile {files};
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{ worker_connections {connections}; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{site}
}}
"""
_SHIPPED = ("127.0.0.1:8501", "127.0.0.1:8502")


@contextmanager
def replicas(settings: Settings, count: int) -> Iterator[list[Server]]:
    """Serve `count` times from one home and database."""
    with ExitStack() as stack:
        servers = []
        for _ in range(count):
            servers.append(Server(settings.home, database_url=settings.url))
            stack.callback(servers[-1].stop)
        for server in servers:
            server.wait_for_page()
        yield servers


@contextmanager
def nginx(ports: Sequence[int], folder: Path) -> Iterator[str]:
    """Run nginx in front of the servers at these ports of this machine; yield its address.

    Raises `SystemExit` where there is no nginx.
    """
    program = nginx_program()
    if program is None:
        raise SystemExit("There is no nginx; `make test` as root installs it.")
    port = free_port()
    folder.mkdir()
    folder.chmod(0o777)
    text = MAIN.format(
        folder=folder, site=_site(ports, port), connections=CONNECTIONS, files=2 * CONNECTIONS
    )
    (folder / "nginx.conf").write_text(text)
    process = subprocess.Popen(
        [program, "-c", str(folder / "nginx.conf"), "-g", "daemon off; user root;"]
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url)
        yield url
    finally:
        process.terminate()
        process.wait(10)


def nginx_program() -> str | None:
    """Return nginx's path, or None where it is not installed; Debian has it outside of PATH."""
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")


def _site(ports: Sequence[int], port: int) -> str:
    """Return the shipped config with other ports, and as many servers as there are."""
    site = CONFIG.read_text()
    first, second = (next(line for line in site.splitlines() if each in line) for each in _SHIPPED)
    lines = [first.replace(_SHIPPED[0], f"127.0.0.1:{each}") for each in ports]
    site = site.replace(f"{second}\n", "").replace(first, "\n".join(lines))
    return site.replace("listen 80;", f"listen 127.0.0.1:{port};")


def _wait_for(url: str) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{url}/readyz", timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit("nginx gave no page within half a minute.")
