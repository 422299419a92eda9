"""How far each annotator's judgments can be relied on: known answers, repeats, pace, standing."""

import numpy as np
import pandas as pd
from sqlalchemy import and_, or_, text
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, select

from labeling.judging.judgments import not_superseded
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from labeling.permissions import Action, require, role_in
from labeling.quality_control.known_answers import score
from labeling.reliability_models.abilities import rater_evidence
from labeling.reliability_models.rankings import as_rankings
from labeling.statistics.agreement import pairwise_agreement
from labeling.statistics.judgment_columns import JudgmentColumns, all_judgments, judgment_columns
from labeling.statistics.measured_times import seconds_of
from labeling.statistics.quality import pair_ratings
from labeling.withdrawals import not_withdrawn
from storage.tables import (
    Account,
    AccountKind,
    Judgment,
    KnownAnswer,
    Project,
    Prompt,
    Qualification,
    Role,
    Task,
    TaskKind,
)
from storage.tables.tasks import SPECIAL_TASK

COLUMNS = (
    *("annotator_id", "name", "judgments", "gold", "gold_tasks", "self_agreement"),
    *("self_pairs", "fast", "qualification"),
)

TASK_COLUMNS = (
    *("task_id", "kind", "messages", "completions"),
    *("ranks", "explanation", "answers", "right"),
)


def reliability(session: Session, *, project_id: int, account: Account | None) -> pd.DataFrame:
    """Return one row for each active annotator, and whoever else has judged, models left out.

    Columns: annotator_id, name, judgments; gold (share of pairs right on gold tasks, first answers,
    a tie on one side half: `known_answers.score`) and gold_tasks; self_agreement (share of pairs
    ordered alike in a task and its repeat) and self_pairs; fast (share of judgments marked so, of
    those whose time is known); qualification (passed, waved through, failed, under way, or none). A
    figure that nothing was measured for is None. `account` asks (None: the person at the server's
    shell); raises `NotAllowed`.
    """
    if account is not None:
        require(account, Action.SEE_QUALITY, project_id=project_id)
    table = _pace(session, project_id)
    gold = _gold(session, project_id)[["gold", "gold_tasks"]]
    table = table.join(gold, how="outer")
    table = table.join(_self_agreement(session, project_id), how="outer")
    table = table.join(_qualification(session, project_id), how="outer")
    counts = ["judgments", "gold_tasks", "self_pairs"]
    table = _people(session, project_id, [int(one) for one in table.index]).join(table)
    table[counts] = table[counts].fillna(0).astype(int)
    table["qualification"] = table["qualification"].fillna("none")
    table = table.sort_values("name").reset_index()
    figures = ["gold", "self_agreement", "fast"]
    table[figures] = table[figures].astype(object).where(table[figures].notna(), None)
    return table[list(COLUMNS)]


def reliability_weights(
    session: Session, *, project_id: int, columns: JudgmentColumns | None = None
) -> dict[int, float]:
    """Return how far each annotator is relied on, in [0, 1], by annotator id; models left out.

    It is 2a - 1, a being the share of right comparisons: 1 for who is always right, 0 for a coin or
    worse (Youden 1950, Cancer 3, 32-35; with labels that are flipped with probability 1 - a, what
    is left of their signal). `rater_evidence` counts what is right on tasks shared with others, and
    known answers of gold tasks are added (`annotator_evidence`). The prior of the project's
    `labeling.reliability` is credited to everyone, so that few judgments do not decide. Reads
    `columns` where they are given. It asks no permission.
    """
    evidence = annotator_evidence(session, project_id=project_id, columns=columns)
    return {int(one): float(weight) for one, weight in evidence["weight"].items()}


def annotator_evidence(
    session: Session, *, project_id: int, columns: JudgmentColumns | None = None
) -> pd.DataFrame:
    """Return right, comparisons, ability and weight of each annotator, indexed by annotator_id.

    A ranking of K, on a shared task or a gold one, has K - 1 comparisons. `ability` is the
    posterior mean of the share that is right.
    """
    held = judgment_columns(session, project_id=project_id) if columns is None else columns
    settings = labeling_settings(session.get_one(Project, project_id)).reliability
    right, wrong = settings.prior_counts
    found = rater_evidence(as_rankings(held.by_people()), prior_right=right, prior_wrong=wrong)
    table = pd.DataFrame({"right": found.right, "comparisons": found.comparisons}, found.raters)
    gold = _gold(session, project_id)[["right", "comparisons"]]
    table = table.add(gold, fill_value=0.0).astype(float)
    table.index = table.index.astype(int)
    table["ability"] = (table["right"] + right) / (table["comparisons"] + right + wrong)
    return table.assign(weight=(2 * table["ability"] - 1).clip(0.0, 1.0))


def known_answer_tasks(session: Session, *, project_id: int, account: Account) -> pd.DataFrame:
    """Return one row for each gold or qualification task that is lent out, newest first.

    Columns: task_id, kind, messages, completions (how many), ranks, explanation, answers (first
    judgments, of the copies of later attempts too) and right (share of their pairs; None without
    any). A low share asks whether the known answer is right. Raises `NotAllowed`.
    """
    require(account, Action.SEE_QUALITY, project_id=project_id)
    rows = session.exec(
        select(Task, KnownAnswer, Prompt.messages)
        .join(KnownAnswer, col(KnownAnswer.task_id) == col(Task.id))
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .where(text(SPECIAL_TASK), Task.project_id == project_id)
        .order_by(col(Task.id).desc())
    ).all()
    answers = _answers(session, project_id)
    found = []
    for task, known, messages in rows:
        scores = [score(ranks, known.ranks) for ranks in answers.get(key_of(task), [])]
        pairs = sum(one.pairs for one in scores)
        right = sum(one.correct for one in scores) / pairs if pairs else None
        found.append(
            (
                *(task.id, task.kind.value, messages, len(known.ranks), known.ranks),
                *(known.explanation, len(scores), right),
            )
        )
    return pd.DataFrame(found, columns=list(TASK_COLUMNS)).astype({"right": object})


def _answers(session: Session, project_id: int) -> dict[int, list[list[int]]]:
    """Return the first judgments of tasks with known answers, under the task or its original."""
    rows = session.exec(
        select(Task.id, Task.for_annotator_id, Task.repeats_id, Judgment.ranks)
        .join(Judgment, col(Judgment.task_id) == col(Task.id))
        .where(
            Task.project_id == project_id,
            col(Task.kind).in_([TaskKind.GOLD, TaskKind.QUALIFICATION]),
            col(Judgment.supersedes_id).is_(None),
        )
    )
    answers: dict[int, list[list[int]]] = {}
    for task_id, only_for, repeats_id, ranks in rows:
        original = task_id if only_for is None else repeats_id
        if original is not None:
            answers.setdefault(original, []).append(list(ranks))
    return answers


def _people(session: Session, project_id: int, judged: list[int]) -> pd.DataFrame:
    """Return name, indexed by annotator_id, of who has judged and of every active annotator."""
    found = session.exec(
        select(Account.id, Account.name).where(
            Account.kind != AccountKind.MODEL,
            or_(
                col(Account.id).in_(judged),
                and_(
                    col(Account.active),
                    role_in(project_id) == Role.ANNOTATOR.value,
                    col(Account.kind) == AccountKind.PERSON,
                    # Who came with a file of another project's is nobody here.
                    col(Account.imported_from) == "",
                ),
            ),
        )
    ).all()
    return pd.DataFrame(found, columns=["annotator_id", "name"]).set_index("annotator_id")


def _pace(session: Session, project_id: int) -> pd.DataFrame:
    stored = all_judgments(session, project_id=project_id).arrays
    current = ~np.isin(stored["judgment_id"], stored["supersedes_id"])
    names = ("annotator_id", "milliseconds", "fast")
    rows = pd.DataFrame({name: stored[name][current] for name in names})
    known = np.isfinite(seconds_of(rows["milliseconds"], rows["fast"]))
    rows["fast"] = rows["fast"].astype(float).where(known)
    return rows.groupby("annotator_id")["fast"].agg(judgments="size", fast="mean")


def _gold(session: Session, project_id: int) -> pd.DataFrame:
    rows = session.exec(
        select(Judgment.annotator_id, Judgment.ranks, KnownAnswer.ranks)
        .join(KnownAnswer, col(KnownAnswer.task_id) == col(Judgment.task_id))
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .where(
            Task.project_id == project_id,
            Task.kind == TaskKind.GOLD,
            col(Judgment.supersedes_id).is_(None),
            not_withdrawn(),
        )
    ).all()
    found = [(annotator_id, score(given, known), len(known)) for annotator_id, given, known in rows]
    table = pd.DataFrame(
        [(who, one.correct, one.pairs, one.correct * 2 / k, k - 1) for who, one, k in found],
        columns=["annotator_id", "correct", "pairs", "right", "comparisons"],
    )
    group = table.groupby("annotator_id")
    sums = group[["correct", "pairs", "right", "comparisons"]].sum()
    sums["gold"] = sums["correct"] / sums["pairs"]
    return sums.assign(gold_tasks=group.size())


def _self_agreement(session: Session, project_id: int) -> pd.DataFrame:
    first = aliased(Judgment)
    newer = aliased(Judgment)
    rows = session.exec(
        select(Task.id, Judgment.annotator_id, first.ranks, Judgment.ranks)
        .join(Judgment, col(Judgment.task_id) == col(Task.id))
        .join(
            first,
            and_(
                col(first.task_id) == col(Task.repeats_id),
                col(first.annotator_id) == col(Judgment.annotator_id),
            ),
        )
        .where(
            Task.project_id == project_id,
            Task.kind == TaskKind.REPEAT,
            not_superseded(),
            ~select(newer.id).where(newer.supersedes_id == first.id).exists(),
        )
    ).all()
    # The two times of one person are compared as two people would be.
    twice = pd.DataFrame(
        [
            (task_id, annotator_id, time, ranks)
            for task_id, annotator_id, *both in rows
            for time, ranks in enumerate(both)
        ],
        columns=["task_id", "person", "annotator_id", "ranks"],
    )
    found = {
        person: pairwise_agreement(pair_ratings(some.reset_index(drop=True)))
        for person, some in twice.groupby("person")
    }
    return pd.DataFrame(
        [(person, figure.value, figure.n) for person, figure in found.items()],
        columns=["annotator_id", "self_agreement", "self_pairs"],
    ).set_index("annotator_id")


def _qualification(session: Session, project_id: int) -> pd.DataFrame:
    attempts = session.exec(
        select(Qualification)
        .where(Qualification.project_id == project_id)
        .order_by(col(Qualification.attempt))
    )
    newest = {one.account_id: _standing(one) for one in attempts}
    rows = list(newest.items())
    return pd.DataFrame(rows, columns=["annotator_id", "qualification"]).set_index("annotator_id")


def _standing(attempt: Qualification) -> str:
    if attempt.passed is None:
        return "under way"
    if not attempt.passed:
        return "failed"
    return "passed" if attempt.task_ids else "waved through"
