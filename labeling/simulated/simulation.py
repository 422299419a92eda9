"""Simulated annotators: accounts that rank by a hidden preference, through the page's functions."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import numpy as np
from sqlalchemy import Engine
from sqlmodel import Session, select

from labeling.accounts import create_account
from labeling.judging.judgments import submit_judgment
from labeling.judging.rankings import dense_ranks, ranks_from_places
from labeling.keys import key_of
from labeling.simulated.preferences import Preference, load_preference
from labeling.work_queue.assignment import AssignedTask, next_assignment
from storage.engine import writing
from storage.errors import BadInput, Conflict, Unavailable
from storage.plurals import counted, form
from storage.tables import Account, AccountKind, Project, Role

if TYPE_CHECKING:
    from labeling.simulated.busy_simulation import Faults

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Simulation:
    """Count what a simulation did: judgments stored, accounts, tasks added, seconds.

    `crashes` are submits whose client was lost, `abandoned` leases that were never submitted.
    """

    judgments: int
    annotators: int
    tasks_added: int
    seconds: float
    crashes: int = 0
    abandoned: int = 0


def simulate(
    engine: Engine,
    *,
    project: Project,
    annotators: int,
    judgments: int,
    noise: float,
    preference: str | Preference,
    seed: int,
    minutes: float,
    fill_pool: Callable[[], int],
    progress: Progress | None = None,
    faults: "Faults | None" = None,
) -> Simulation:
    """Store `judgments` rankings by the accounts sim-1 … sim-A, taking turns.

    With `faults` several work at once, and things go wrong; without, the same seed gives the same
    judgments. Where no task is left, `fill_pool()` must add some and return how many.
    `progress(done, total)` is called after each judgment. Raises `BadInput` on arguments that do
    not fit, `Unavailable` where no task could be added; what was stored until then stays.
    """
    if annotators < 1 or judgments < 0 or not 0.0 <= noise <= 0.5:
        raise BadInput(
            "A simulation needs at least 1 annotator, 0 or more judgments and noise from 0 to 0.5."
        )
    score = load_preference(preference) if isinstance(preference, str) else preference
    started = time.monotonic()
    with writing(engine) as session:
        accounts = [_account(session, f"sim-{number}") for number in range(1, annotators + 1)]
    if faults is not None:
        from labeling.simulated.busy_simulation import BusySimulation

        busy = BusySimulation(
            engine, key_of(project), accounts, score, judgments, noise, seed, minutes, faults,
            fill_pool, progress,
        )  # fmt: skip
        busy.run()
        seconds = time.monotonic() - started
        return Simulation(busy.done, annotators, busy.added, seconds, busy.crashes, busy.abandoned)
    done, added, turn = 0, 0, 0
    while done < judgments:
        found = _take_turns(engine, key_of(project), accounts, turn, minutes)
        if found is None:
            added += _fill(fill_pool, done, judgments)
            found = _take_turns(engine, key_of(project), accounts, turn, minutes)
            if found is None:
                raise nothing_left(done, judgments)
        turn, task = found
        random = np.random.default_rng((seed, task.task_id, turn % annotators))
        done += _judge(engine, task, accounts[turn % annotators], score, noise, random)
        turn += 1
        if progress is not None:
            progress(done, judgments)
    return Simulation(done, annotators, added, time.monotonic() - started)


def noisy_ranks(scores: Sequence[float], noise: float, random: np.random.Generator) -> list[int]:
    """Return ranks of the scores (higher is better) with each pair label flipped with P = noise.

    Every pair that differs is flipped by its own coin; a pair of equal scores becomes a random
    strict one with P = 2·noise. The flipped labels need not be transitive: the ranking sorts by
    Copeland score (wins minus losses), breaking its ties by chance unless the scores are equal.
    So noise 0 gives the exact order with its ties, 0.5 a random order; the share of wrong labels is
    the noise itself for two completions and near it for more (0.2 becomes 0.22 with four, 0.17 with
    nine). Source: Copeland, A 'reasonable' social welfare function, 1951.
    """
    values = np.asarray(scores, dtype=float)
    labels = np.sign(values[:, None] - values[None, :])
    upper = np.triu(np.ones_like(labels, dtype=bool), k=1)
    flipped = random.random(labels.shape) < noise
    tossed = random.random(labels.shape) < 2 * noise
    coins = np.where(random.random(labels.shape) < 0.5, 1.0, -1.0)
    ties_tossed = np.where(tossed, coins, 0.0)
    noisy = np.where(labels == 0, ties_tossed, np.where(flipped, -labels, labels))
    noisy = np.where(upper, noisy, 0.0)
    copeland = (noisy - noisy.T).sum(axis=1)
    chance = dict(zip(values, random.permutation(len(values)), strict=True))
    keys = [(-wins, chance[value]) for wins, value in zip(copeland, values, strict=True)]
    order = {key: place for place, key in enumerate(sorted(set(keys)), start=1)}
    return dense_ranks([order[key] for key in keys])


def _account(session: Session, name: str) -> Account:
    account = session.exec(select(Account).where(Account.name == name)).first()
    if account is None:
        return create_account(session, name=name, role=Role.ANNOTATOR, kind=AccountKind.SIMULATED)
    if account.kind != AccountKind.SIMULATED:
        raise Conflict(f"The account {name} is a person's, so no simulation may use it.")
    return account


def _take_turns(
    engine: Engine, project_id: int, accounts: list[Account], turn: int, minutes: float
) -> tuple[int, AssignedTask] | None:
    """Lend a task to the account whose turn it is, or to the next one that can have one."""
    for attempt in range(turn, turn + len(accounts)):
        with writing(engine) as session:
            task = next_assignment(
                session,
                project_id=project_id,
                annotator_id=key_of(accounts[attempt % len(accounts)]),
                minutes=minutes,
            )
        if task is not None:
            return attempt, task
    return None


def _judge(
    engine: Engine,
    task: AssignedTask,
    account: Account,
    score: Preference,
    noise: float,
    random: np.random.Generator,
) -> int:
    started = time.monotonic()
    scores = [score(task.messages, text) for text in task.completions]
    places = noisy_ranks(scores, noise, random)
    with writing(engine) as session:
        submission = submit_judgment(
            session,
            assignment_id=task.assignment_id,
            annotator_id=key_of(account),
            ranks=ranks_from_places(task.display_order, places),
            milliseconds=round(1000 * (time.monotonic() - started)),
            nonce=uuid4().hex,
        )
    return int(submission.stored)


def _fill(fill_pool: Callable[[], int], done: int, wanted: int) -> int:
    added = fill_pool()
    if added <= 0:
        raise nothing_left(done, wanted)
    return added


def nothing_left(done: int, wanted: int) -> Unavailable:
    """Return the error that says how far a simulation came before the tasks ran out."""
    return Unavailable(
        f"{done:,} of {counted(wanted, 'judgment')} {form(wanted, 'was', 'were')} stored, "
        "then no task was left and none could be added; "
        "import more prompts with `rankloop import prompts FILE`."
    )
