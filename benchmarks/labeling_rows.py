"""A large labeling database, written by a few statements: the same rows on both databases.

Most tasks are done. Of the ready ones, with overlap 3, the first are closed to annotator 1: once
as many as `ahead` were judged by them alone, and as many by them and one other; the rest have one
or two judgments of others. So whatever the strategy, thousands of tasks that come first in its
order are closed to annotator 1, and every strategy must find its way past them.
"""

import math
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Column, Connection, Engine, Integer, MetaData, Table, text

from labeling.labeling_settings import change_labeling
from storage.clock import now
from storage.engine import writing
from storage.tables import Account, Policy, PolicyStatus, Project, Role, Row, Split
from storage.tables.base import UtcDateTime

PROJECT_ID = 1
PROMPTS = 10_000
COMPLETIONS = 20_000
POOL = "experts"
OVERLAP = 3
_AT_ONCE = 250_000
_MOMENTS = 9_000  # a hundred a day
_TABLES = ("prompt", "completion", "task", "task_completion", "assignment", "judgment")


@dataclass(frozen=True)
class Size:
    """How many rows: `ready` is the share of tasks that are not done."""

    tasks: int = 1_000_000
    judgments: int = 5_000_000
    annotators: int = 300
    ready: float = 0.1
    ahead: int = 5_000

    @property
    def done(self) -> int:
        """Return the number of tasks that are done; their ids come first."""
        return self.tasks - round(self.tasks * self.ready)

    @property
    def done_overlap(self) -> float:
        """Return the mean overlap of the tasks that are done."""
        return max(1.0, (self.judgments - 1.5 * (self.tasks - self.done)) / self.done)

    @property
    def most_judged(self) -> int:
        """Return the most judgments that a task has."""
        return max(2, math.ceil(self.done_overlap))


def fill(engine: Engine, size: Size) -> None:
    """Write the rows into a database that has the tables and nothing else.

    The project is 1, the annotators are the accounts 1 …, of which account 2 is in the pool.
    """
    with writing(engine) as session:
        project = Project(id=PROJECT_ID, name="default", completions_per_task=2, overlap=OVERLAP)
        session.add(project)
        session.flush()
        session.add_all(
            Account(name=f"scale-{number}", role=Role.ANNOTATOR)
            for number in range(1, size.annotators + 1)
        )
        session.add_all(
            Policy(
                project_id=PROJECT_ID,
                version=version,
                status=PolicyStatus.LIVE if version == 3 else PolicyStatus.RETIRED,
            )
            for version in (1, 2, 3)
        )
        session.flush()
        change_labeling(session, project=project, by=None, section="gold", values=_NO_MIXTURE)
    indexes = [index for name in _TABLES for index in Row.metadata.tables[name].indexes]
    with engine.connect().execution_options(rankloop_write=True) as connection:
        _without_checks(connection)
        for index in indexes:
            index.drop(connection)
        _make_moments(connection)
        for statement, values in _statements(connection, size):
            connection.execute(text(statement), values)
        for index in indexes:
            index.create(connection)
        connection.execute(text("DROP TABLE moment"))
        _set_sequences(connection, Row.metadata)
        connection.commit()
    _settle(engine)


_NO_MIXTURE = {"rate": 0.0, "repeat_rate": 0.0}


def _without_checks(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        # Inside a transaction the pragma would do nothing.
        connection.rollback()
        driver = connection.connection.driver_connection
        assert driver is not None
        for pragma in ("foreign_keys = OFF", "synchronous = OFF", "cache_size = -400000"):
            driver.execute(f"PRAGMA {pragma}")
    else:
        connection.execute(text("SET session_replication_role = replica"))
        connection.execute(text("SET maintenance_work_mem = '512MB'"))


def _numbers(connection: Connection) -> str:
    if connection.dialect.name == "sqlite":
        return (
            "(WITH RECURSIVE n(i) AS (SELECT :low UNION ALL SELECT i + 1 FROM n WHERE i < :high) "
            "SELECT i FROM n) AS n"
        )
    return "generate_series(CAST(:low AS integer), CAST(:high AS integer)) AS n(i)"


def _make_moments(connection: Connection) -> None:
    """Make a table of times from three months ago until now; a row takes one of them by its id."""
    moment = Table(
        "moment", MetaData(), Column("i", Integer, primary_key=True), Column("at", UtcDateTime)
    )
    moment.create(connection)
    step = timedelta(days=90) / _MOMENTS
    connection.execute(
        moment.insert(), [{"i": i, "at": now() - (_MOMENTS - i) * step} for i in range(_MOMENTS)]
    )


def _statements(connection: Connection, size: Size) -> list[tuple[str, dict[str, object]]]:
    n, at = _numbers(connection), f"(SELECT at FROM moment WHERE i = {_MOMENTS - 1})"
    empty, split = "'[]'", f"'{Split.TRAIN.value}'"
    message = """'[{"role": "user", "content": "Question ' || i || '"}]'"""
    as_json = "CAST({} AS jsonb)" if connection.dialect.name == "postgresql" else "{}"
    message, empty, nothing = (as_json.format(each) for each in (message, empty, "'{}'"))
    order = as_json.format("'[1, 0]'")
    ranks = as_json.format("'[1, 2]'")
    # An eighth of the ready tasks after the blocks of annotator 1 is the pool's.
    in_pool = "CASE WHEN i > :done + 2 * :ahead AND i % 8 = 0 THEN :pool ELSE '' END"
    done_overlap = ":least + CASE WHEN i % 1000 < :more THEN 1 ELSE 0 END"
    judged = (
        f"CASE WHEN i <= :done THEN {done_overlap} WHEN i <= :done + :ahead THEN 1 "
        "WHEN i <= :done + 2 * :ahead THEN 2 ELSE 1 + i % 2 END"
    )
    slots = " UNION ALL ".join(f"SELECT {slot} AS s" for slot in range(size.most_judged))
    judges = (
        "CASE WHEN t.id > :done AND t.id <= :done + 2 * :ahead AND s = 0 THEN 1 "
        "ELSE 2 + (t.id + s * :step) % (:annotators - 1) END"
    )
    key = f"(t.id - 1) * {size.most_judged} + s + 1"
    source = (
        f"FROM task AS t JOIN ({slots}) AS slot ON s < t.judged "
        f"JOIN moment ON moment.i = CAST(t.id AS bigint) * {_MOMENTS - 1} / :tasks"
    )
    base: dict[str, object] = {
        "done": size.done,
        "ahead": size.ahead,
        "least": int(size.done_overlap),
        "more": round(1000 * (size.done_overlap % 1)),
        "overlap": OVERLAP,
        "pool": POOL,
        "tasks": size.tasks,
        "annotators": size.annotators,
        "step": max(1, (size.annotators - 1) // size.most_judged),
    }
    small: list[tuple[str, dict[str, object]]] = [
        (
            "INSERT INTO prompt (id, project_id, messages, content_sha256, source, license, split, "
            f"tags, language, created_at) SELECT i, 1, {message}, 'sha-' || i, '', '', {split}, "
            f"{empty}, '', {at} FROM {n}",
            {"low": 1, "high": PROMPTS},
        ),
        (
            "INSERT INTO completion (id, prompt_id, policy_id, text, sampling, seed, finish_reason,"
            f" token_count, created_at) SELECT i, 1 + i % {PROMPTS}, 3, 'Answer ' || i || "
            f"' with a few words to read.', {nothing}, i, 'stop', 9, {at} FROM {n}",
            {"low": 1, "high": COMPLETIONS},
        ),
        ("INSERT INTO pool_member (project_id, account_id, pool) VALUES (1, 2, :pool)", base),
    ]
    task = (
        "INSERT INTO task (id, project_id, prompt_id, policy_id, overlap, priority, kind, status, "
        f"judged, selection, pool, created_at) SELECT i, 1, 1 + i % {PROMPTS}, "
        "CASE WHEN i > :done THEN 3 ELSE 1 + i % 2 END, "
        f"CASE WHEN i > :done THEN :overlap ELSE {done_overlap} END, 0, 'ordinary', "
        f"CASE WHEN i > :done THEN 'ready' ELSE 'done' END, {judged}, 'random', {in_pool}, {at} "
        f"FROM {n}"
    )
    shown = (
        "INSERT INTO task_completion (task_id, position, completion_id) "
        f"SELECT t.id, s, 1 + (2 * t.id + s) % {COMPLETIONS} FROM task AS t "
        "JOIN (SELECT 0 AS s UNION ALL SELECT 1) AS slot ON 1 = 1 WHERE t.id BETWEEN :low AND :high"
    )
    assignment = (
        "INSERT INTO assignment (id, task_id, annotator_id, state, leased_at, expires_at, "
        f"order_seed, display_order, counted) SELECT {key}, t.id, {judges}, 'submitted', "
        f"moment.at, moment.at, t.id, {order}, true {source} WHERE t.id BETWEEN :low AND :high"
    )
    judgment = (
        "INSERT INTO judgment (id, project_id, task_id, assignment_id, annotator_id, ranks, likert,"
        " checks, flags, rationale, milliseconds, marks, display_order, nonce, created_at) "
        f"SELECT {key}, 1, t.id, {key}, {judges}, {ranks}, {nothing}, {nothing}, {empty}, '', "
        f"20000, {empty}, {order}, 'nonce-' || ({key}), moment.at {source} "
        "WHERE t.id BETWEEN :low AND :high"
    )
    parts = [
        {**base, "low": low, "high": min(low + _AT_ONCE - 1, size.tasks)}
        for low in range(1, size.tasks + 1, _AT_ONCE)
    ]
    return small + [
        (statement, part) for statement in (task, shown, assignment, judgment) for part in parts
    ]


def _set_sequences(connection: Connection, metadata: MetaData) -> None:
    if connection.dialect.name == "sqlite":
        return
    for name in _TABLES:
        if "id" in metadata.tables[name].columns:
            connection.execute(
                text(
                    f"SELECT setval(pg_get_serial_sequence('{name}', 'id'), "
                    f"(SELECT max(id) FROM {name}))"
                )
            )


def _settle(engine: Engine) -> None:
    """Do what a database does by itself in time: statistics, visibility map, log written back."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        if connection.dialect.name == "sqlite":
            driver.rollback()
            driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        else:
            driver.execute("VACUUM ANALYZE")
    engine.dispose()
