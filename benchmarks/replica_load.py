"""1,000 annotators on 3 replicas behind nginx and one PostgreSQL: from submit to the next task.

    python -m benchmarks.replica_load

The servers, nginx, PostgreSQL and the annotators all share this machine, so the pace of submits is
chosen for its cores: what is shown is that so many open pages are carried, with sticky cookies, not
how many submits a second three machines take. `benchmarks.labeling_load` tells how it is played.
"""

import argparse
import asyncio
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from benchmarks import readme
from benchmarks.labeling_load import WARM_UP, Found, annotate, browsers, open_pages
from benchmarks.labeling_stage import fill, settings_of
from benchmarks.pages import Server, percentile
from benchmarks.replicas import nginx, replicas
from tests.postgres_cluster import PostgresCluster, find_binaries

DOCS = Path(__file__).parent.parent / "docs" / "operations.md"
OVERLAP = 3
CONNECTIONS = 40  # of PostgreSQL that one web process may open (storage/engine.py)


def main() -> None:
    """Measure, print the table, and put it into the documentation if wanted."""
    options = _options()
    binaries = find_binaries()
    if binaries is None:
        raise SystemExit("There is no PostgreSQL; `make test` as root installs it.")
    connections = CONNECTIONS * options.replicas + 20
    with (
        PostgresCluster(binaries, durable=True, connections=connections) as cluster,
        TemporaryDirectory() as folder,
    ):
        settings = settings_of(Path(folder) / "home", cluster.url("postgres"))
        names = fill(settings, annotators=options.annotators, tasks=options.tasks, overlap=OVERLAP)
        Path(folder).chmod(0o755)
        with (
            replicas(settings, options.replicas) as servers,
            nginx([server.port for server in servers], Path(folder) / "nginx") as url,
        ):
            found, memory, pages = asyncio.run(_play(url, servers, names, options))
    text = "\n".join(_table(found, memory, pages, options))
    print(text)
    if options.docs:
        readme.put("replicas", text, file=DOCS)


async def _play(
    url: str, servers: Sequence[Server], names: Sequence[str], options: argparse.Namespace
) -> tuple[Found, list[float], list[int]]:
    found = Found()
    processes = [psutil.Process(server.process.pid) for server in servers]
    async with browsers() as http:
        pages = await open_pages(http, url, names)
        # A page is a websocket; the server of each is the one that nginx has chosen.
        held = [_pages_of(process, server.port) for process, server in zip(
            processes, servers, strict=True)]  # fmt: skip
        began = time.perf_counter() + WARM_UP
        ends = began + options.seconds
        players = [
            asyncio.create_task(annotate(page, number, began, ends, found, options))
            for number, page in enumerate(pages)
        ]
        await asyncio.sleep(began - time.perf_counter())
        used = sum(_seconds(process) for process in processes)
        await asyncio.sleep(ends - time.perf_counter())
        found.seconds = time.perf_counter() - began
        found.server_cpu = (sum(_seconds(each) for each in processes) - used) / found.seconds
        memory = [process.memory_info().rss / 2**20 for process in processes]
        await asyncio.gather(*players)
        await asyncio.gather(*(page.close() for page in pages))
    return found, memory, held


def _pages_of(process: psutil.Process, port: int) -> int:
    connections = process.net_connections(kind="tcp")
    return sum(1 for each in connections
               if each.laddr.port == port and each.status == psutil.CONN_ESTABLISHED)  # fmt: skip


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _table(
    found: Found, memory: Sequence[float], pages: Sequence[int], options: argparse.Namespace
) -> list[str]:
    waits = [1000 * wait for wait in found.waits] or [0.0]
    lost = f"{len(found.lost)}" + (f" ({found.lost[0][:60]})" if found.lost else "")
    return [
        f"{options.annotators} annotators, {options.replicas} replicas behind nginx, PostgreSQL, "
        f"all on this machine; each submits every {options.pause:g} s, {options.seconds:g} s after "
        f"a warm-up of {WARM_UP:g} s.",
        "",
        "| submits | a second | p50 | p95 | p99 | slowest | lost | servers' cores "
        "| memory of each server | connections of each |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        f"| {len(found.waits)} | {len(found.waits) / found.seconds:.1f} "
        f"| {statistics.median(waits):.0f} ms | {percentile(waits, 0.95):.0f} ms "
        f"| {percentile(waits, 0.99):.0f} ms | {max(waits):.0f} ms | {lost} "
        f"| {found.server_cpu:.2f} | {', '.join(f'{each:.0f}' for each in memory)} MiB "
        f"| {', '.join(map(str, pages))} |",
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.replica_load",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--annotators", type=int, default=1000)
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--pause", type=float, default=40.0, help="seconds between one's submits")
    parser.add_argument("--seconds", type=float, default=120.0, help="of measuring")
    parser.add_argument("--tasks", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    options = parser.parse_args()
    options.drafts = 0
    return options


if __name__ == "__main__":
    main()
