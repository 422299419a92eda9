"""200 annotators at the real server while browsers, server and connections are killed.

    python -m benchmarks.labeling_faults

The annotators are pages without a browser (`benchmarks.page_session`). Until 20,000 judgments are
stored: one submit in 50 is cut off by its own browser, the server is killed with -9 and started
again, on PostgreSQL connections are ended by the administrator, on SQLite other processes die
within a transaction that has overwritten every judgment. Then the tables are checked
(`benchmarks.labeling_invariants`); nothing of it asks the functions that are tested.
"""

import argparse
import asyncio
import random
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks import readme
from benchmarks.disturbed_server import LEASE_MINUTES, DisturbedServer
from benchmarks.labeling_invariants import broken, live_leases, unfinished
from benchmarks.labeling_load import DOCS, browsers, database
from benchmarks.labeling_stage import fill, settings_of
from benchmarks.persistent_annotator import OPENED_AT_ONCE, PersistentAnnotator, Told
from storage.engine import build_engine, reading
from storage.settings import Settings

OVERLAP = 2


def main() -> None:
    """Run on both databases, print the table, and put it into the documentation if wanted."""
    options = _options()
    columns, bad = [], False
    for name in options.databases:
        with database(name) as url, TemporaryDirectory() as folder:
            told, rules = _run(settings_of(Path(folder) / "home", url), options)
        columns.append((name, told, rules))
        bad |= any(rules.values())
        for rule, cases in rules.items():
            for case in cases[:5]:
                print(f"{name}: BROKEN: {rule}: {case}", flush=True)
        print(f"{name}: pages lost: {told.lost}", flush=True)
        text = "\n".join(_table(columns, options))
        print(text, flush=True)
    if options.docs:
        readme.put("faults", text, file=DOCS)
    if bad:
        raise SystemExit("A rule was broken, see above.")


def _run(settings: Settings, options: argparse.Namespace) -> tuple[Told, dict[str, list[str]]]:
    names = fill(
        settings,
        annotators=options.annotators,
        tasks=options.judgments // OVERLAP,
        overlap=OVERLAP,
    )
    server, told = DisturbedServer(settings), Told()
    try:
        asyncio.run(_disturbed(server, names, told, options))
    finally:
        server.stop()
    time.sleep(60 * LEASE_MINUTES)
    engine = build_engine(settings.url)
    with reading(engine) as session:
        rules = {
            **broken(session, told.acknowledged),
            "no task was above its overlap at any look during the run": told.checks,
            "no lease is left": live_leases(session),
            "every task has all its judgments": unfinished(session),
        }
    engine.dispose()
    return told, rules


async def _disturbed(
    server: DisturbedServer, names: Sequence[str], told: Told, options: argparse.Namespace
) -> None:
    over, opening = asyncio.Event(), asyncio.Semaphore(OPENED_AT_ONCE)
    async with browsers() as http:
        people = [PersistentAnnotator(server, http, name, told) for name in names]
        began = time.perf_counter()
        working = [
            asyncio.create_task(person.work(options.pause, over, opening)) for person in people
        ]
        # The disturber sleeps in a thread: what it does blocks.
        await asyncio.to_thread(_disturb, server, told, options)
        told.seconds = time.perf_counter() - began
        over.set()
        await asyncio.gather(*working)


def _disturb(server: DisturbedServer, told: Told, options: argparse.Namespace) -> None:
    """Kill and cut at random times until every judgment is stored, or the time is over."""
    chance, began = random.Random(options.seed), time.monotonic()
    next_kill = began + options.kill_every
    while server.unfinished() and time.monotonic() < began + options.limit:
        time.sleep(chance.uniform(0.5, 3.5))
        told.cut += server.cut(chance)
        told.checks += server.above_overlap()
        told.checked += 1
        if time.monotonic() > next_kill:
            server.kill()
            told.server_kills += 1
            next_kill = time.monotonic() + options.kill_every * chance.uniform(0.5, 1.5)


def _table(
    columns: Sequence[tuple[str, Told, dict[str, list[str]]]], options: argparse.Namespace
) -> list[str]:
    def row(title: str, values: list[Any]) -> str:
        return f"| {title} | " + " | ".join(str(value) for value in values) + " |"

    told = [column[1] for column in columns]
    return [
        f"{options.annotators} annotators, {options.judgments} judgments wanted.",
        "",
        row("", [name for name, _, _ in columns]),
        row("---", ["---" for _ in columns]),
        row("seconds", [f"{one.seconds:.0f}" for one in told]),
        row("judgments acknowledged", [len(one.acknowledged) for one in told]),
        row("server killed with -9", [one.server_kills for one in told]),
        row("connections ended, or processes killed in a transaction", [one.cut for one in told]),
        row("browsers killed within a submit", [one.vanished for one in told]),
        row("pages lost and opened again", [sum(one.lost.values()) for one in told]),
        row("submits sent again with the same nonce", [one.sent_again for one in told]),
        row("submits of which nobody was told", [one.in_doubt for one in told]),
        row("refused: the task was full, or the connection was cut", [one.refused for one in told]),
        row("looks at the leases during the run", [one.checked for one in told]),
        *(
            row(f"broken: {rule}", [len(rules[rule]) for _, _, rules in columns])
            for rule in columns[0][2]
        ),
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.labeling_faults",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--annotators", type=int, default=200)
    parser.add_argument("--judgments", type=int, default=20_000)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds, mean of an annotator")
    parser.add_argument("--kill-every", type=float, default=30.0, help="seconds, of the server")
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds for each database")
    parser.add_argument("--seed", type=int, default=1)
    names = ("SQLite", "PostgreSQL")
    parser.add_argument("--databases", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--docs", action="store_true", help="put the table into docs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
