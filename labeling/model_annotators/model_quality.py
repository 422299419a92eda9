"""What model annotators are worth: their error on the audit, and their agreement with people."""

from dataclasses import dataclass

import pandas as pd
from sqlalchemy import select
from sqlmodel import Session, col

from labeling.datasets.eligibility import counted
from labeling.model_annotators.model_judgments import Mark
from labeling.permissions import Action, require
from labeling.statistics.agreement import Figure
from labeling.statistics.pair_rows import pair_rows
from storage import plurals
from storage.tables import Account, AccountKind, Judgment, Task

_COLUMNS = ("task_id", "annotator_id", "name", "kind", "ranks", "marks", "confidence")


@dataclass(frozen=True)
class ModelFigures:
    """What one model annotator did, and how it compares with people on the same tasks.

    `taken` tasks have no person's judgment; of the `audit` tasks people have judged `audited`.
    `error` is of those: the share of people's strict pairs that the model ranks otherwise, its ties
    by half. `agreement` is over all pairs of all tasks that it and people judged, a tie agrees with
    a tie only. `confidence` is the mean of what it said of its least sure pairs in the audit, so an
    error above one less it means that it is too sure.
    """

    name: str
    judgments: int
    taken: int
    audit: int
    audited: int
    error: Figure
    confidence: float | None
    agreement: Figure

    def in_words(self) -> str:
        """Return the figures as one sentence for leads."""
        said = (
            f"{plurals.counted(self.judgments, 'task')} judged, {self.taken:,} of them taken "
            f"without people; people have judged {self.audited:,} of the "
            f"{plurals.counted(self.audit, 'task')} of its audit"
        )
        if self.error.value is not None and self.confidence is not None:
            said += (
                f" and disagree on {self.error.value:.0%} of "
                f"{plurals.counted(self.error.n, 'pair')}, where it expected "
                f"{1 - self.confidence:.0%} at most"
            )
        return f"{said}."


def model_figures(
    session: Session, *, project_id: int, account: Account | None
) -> list[ModelFigures]:
    """Return the figures of every model annotator of the project, by name.

    `account` asks (None: the person at the server's shell); raises `NotAllowed`.
    """
    if account is not None:
        require(account, Action.SEE_QUALITY, project_id=project_id)
    rows = _judgments(session, project_id)
    is_model = rows["kind"] == AccountKind.MODEL
    people = rows[~is_model].reset_index(drop=True)
    return [
        _figures(str(name), own.reset_index(drop=True), people)
        for name, own in rows[is_model].groupby("name")
    ]


def _figures(name: str, own: pd.DataFrame, people: pd.DataFrame) -> ModelFigures:
    marks = own["marks"].map(lambda found: found[0] if found else "")
    audit = own[marks == Mark.AUDIT.value]
    audited = audit[audit["task_id"].isin(people["task_id"])]
    both = _shared_pairs(own, people)
    strict = both[both["task_id"].isin(audit["task_id"]) & (both["person"] != 0)]
    wrong = (strict["model"] != strict["person"]) * 1.0 - (strict["model"] == 0) * 0.5
    return ModelFigures(
        name=name,
        judgments=len(own),
        taken=int((marks == Mark.TAKEN.value).sum()),
        audit=len(audit),
        audited=len(audited),
        error=_mean(wrong, "pairs that people ranked in the audit"),
        confidence=float(audited["confidence"].mean()) if len(audited) else None,
        agreement=_mean(both["model"] == both["person"], "pairs that it and people judged"),
    )


def _shared_pairs(own: pd.DataFrame, people: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each pair of each person's judgment of a task that the model judged too.

    Columns: task_id, and person and model: 1, -1 or 0 where the first of the pair is better, worse
    or tied.
    """
    theirs, models = _outcomes(people, "person"), _outcomes(own, "model")
    return theirs.merge(models, on=["task_id", "i", "j"])


def _outcomes(judged: pd.DataFrame, name: str) -> pd.DataFrame:
    pairs = pair_rows(judged)
    task = judged["task_id"].to_numpy()[pairs["row"]] if len(pairs) else []
    return pd.DataFrame(
        {"task_id": task, "i": pairs["i"], "j": pairs["j"], name: pairs["outcome"]}
    ).astype(int)


def _mean(values: "pd.Series[float]", of: str) -> Figure:
    return Figure(float(values.mean()) if len(values) else None, len(values), of)


def _judgments(session: Session, project_id: int) -> pd.DataFrame:
    statement = (
        select(
            col(Judgment.task_id),
            col(Judgment.annotator_id),
            col(Account.name),
            col(Account.kind),
            col(Judgment.ranks),
            col(Judgment.marks),
            col(Judgment.confidence),
        )
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .where(col(Judgment.project_id) == project_id, *counted())
        .order_by(col(Judgment.id))
    )
    return pd.DataFrame(session.execute(statement).all(), columns=list(_COLUMNS))
