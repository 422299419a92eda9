"""Freeze a query: read the project once, write what stays to Parquet, count what does not."""

import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow
import pyarrow.parquet
from sqlmodel import Session, func, select

from labeling.datasets.consolidated_labels import write_consolidated
from labeling.datasets.project_judgments import (
    Row,
    count_judged_prompts,
    project_judgments,
)
from labeling.datasets.snapshot_agreement import SnapshotAgreement
from labeling.datasets.snapshot_filters import Filters, filters_of
from labeling.datasets.snapshot_query import SnapshotQuery
from labeling.datasets.snapshot_rows import (
    DEMONSTRATION_SCHEMA,
    SCHEMA,
    RowsDigest,
    canonical_json,
)
from labeling.judging.demonstrations import demonstrations_of
from labeling.keys import key_of
from labeling.labeling_settings import labeling_settings
from storage import blobs
from storage.clock import now
from storage.errors import Unavailable
from storage.tables import Judgment, Project, Split

ROWS = "judgments.parquet"
DEMONSTRATIONS = "demonstrations.parquet"
CONSOLIDATED = "consolidated.parquet"
#: In the manifest: how many judgments of each annotator are trained on, by account id as text.
TRAINED = "trained_judgments_by_annotator"
#: In the manifest's tables of licences: a prompt that came without one.
NO_LICENCE = "not said"
FILTERS = {
    "judgments": "current, not discarded, not withdrawn, no tests; where a lead decided, the "
    "decision alone",
    "accounts": "active, no models",
}
WITH_MODELS = {"accounts": "active, models only of tasks that they took without people"}
_ALL_MODELS = {"accounts": "active, models too"}
_OF_MODELS: dict[str, dict[str, str]] = {"out": {}, "taken": WITH_MODELS, "in": _ALL_MODELS}

#: What is told of work under way: what is being done, and the share done.
Progress = Callable[[str, float], None]


def no_progress(_what: str, _share: float) -> None:
    """Tell nobody."""


@dataclass(frozen=True)
class Frozen:
    """A snapshot's files in a folder that is not its own yet, and the manifest of them."""

    folder: Path
    query: SnapshotQuery
    manifest: dict[str, Any]

    @property
    def hashes(self) -> dict[str, str]:
        """Return the hashes of all rows, by their name in the manifest."""
        return hashes_of(self.manifest)


def hashes_of(manifest: dict[str, Any]) -> dict[str, str]:
    """Return the hashes of rows that a manifest names."""
    return {name: value for name, value in manifest.items() if name.endswith("_sha256")}


@contextmanager
def frozen(
    session: Session,
    *,
    project: Project,
    query: SnapshotQuery,
    folder: Path,
    code_version: str,
    progress: Progress = no_progress,
) -> Iterator[Frozen]:
    """Write the rows of a query into a new folder in `folder`; what is left there goes at the end.

    Only reads the database. Raises `BadInput` where the query names what the project has not,
    `Unavailable` where the folder cannot be written.
    """
    taken_at = now()
    part = folder / f".freezing-{uuid4().hex}.part"
    try:
        part.mkdir(parents=True)
        counts = _write_judgments(session, project, query, part, progress)
        manifest = {
            "project": project.name,
            "query": query.as_json(),
            "filters": FILTERS | _OF_MODELS[query.models],
            "columns": SCHEMA.names,
            **counts.as_manifest(),
            **_write_demonstrations(session, project, part),
            **write_consolidated(
                part,
                rule=query.consolidation,
                reliability=counts.reliability,
                settings=labeling_settings(session.get_one(Project, project.id)).reliability,
            ),
            "newest_judgment": _newest_judgment(session, project),
            "code_version": code_version,
            "taken_at": taken_at.isoformat(),
        }
        text = json.dumps(manifest, indent=2, ensure_ascii=False)
        (part / blobs.MANIFEST).write_text(text, encoding="utf-8")
        yield Frozen(part, query, manifest)
    except OSError as error:
        raise Unavailable(
            f"The snapshot cannot be written to {folder} ({error.strerror}); make room or choose "
            "another RANKLOOP_HOME."
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _newest_judgment(session: Session, project: Project) -> int:
    """Return the key of the newest judgment at this moment, left out or not; 0 without any."""
    newest = select(func.max(Judgment.id)).where(Judgment.project_id == key_of(project))
    return session.exec(newest).one() or 0


@dataclass
class _Counts:
    """What is counted while rows are written."""

    reliability: dict[int, float]
    digest: RowsDigest = field(default_factory=lambda: RowsDigest(SCHEMA.names))
    by: defaultdict[str, Counter[object]] = field(default_factory=lambda: defaultdict(Counter))
    agreement: SnapshotAgreement = field(default_factory=SnapshotAgreement)
    judgments: int = 0
    considered: int = 0
    decisions: int = 0
    tasks: int = 0
    prompts: int = 0
    strengths: int = 0
    tied: int = 0
    last_prompt: int = 0
    annotators: set[int] = field(default_factory=set)

    def add(self, rows: list[Row]) -> None:
        """Count the rows of a task that stay."""
        self.judgments += len(rows)
        self.tasks += 1
        self.prompts += rows[0]["prompt_id"] != self.last_prompt
        self.last_prompt = rows[0]["prompt_id"]
        self._one("licences", rows[0]["license"] or NO_LICENCE)
        self._one("tasks_by_completions", len(rows[0]["ranks"]))
        self.agreement.add([row["ranks"] for row in rows if row["judgment_id"]])
        for row in rows:
            self._add_row(row)

    def _add_row(self, row: Row) -> None:
        self.decisions += row["judgment_id"] == 0
        self.strengths += row["strength"] is not None
        self.tied += len(set(row["ranks"])) < len(row["ranks"])
        self._one("judgments_by_split", row["split"])
        self._one("judgments_by_annotator", row["annotator_id"])
        self._one("judgments_by_annotator_kind", row["annotator_kind"])
        self._one("judgments_by_policy_version", row["policy_version"])
        self._one("guideline_versions", row["guideline_version"] or "none")
        # Decisions are leads', and no annotator's work.
        if row["judgment_id"] > 0:
            self.annotators.add(row["annotator_id"])
            if row["split"] == Split.TRAIN.value:
                self._one(TRAINED, row["annotator_id"])

    def leave_out(self, reason: str) -> None:
        """Count a row that does not stay."""
        self._one("excluded", reason)

    def _one(self, what: str, of: object) -> None:
        self.by[what][of] += 1

    def as_manifest(self) -> dict[str, Any]:
        """Return the counts as the manifest has them."""
        tables = (
            *("judgments_by_split", "judgments_by_annotator", "judgments_by_annotator_kind"),
            *("judgments_by_policy_version", TRAINED, "guideline_versions", "licences"),
            *("tasks_by_completions", "excluded"),
        )
        return {
            "rows_sha256": self.digest.hex,
            "considered": self.considered,
            "judgments": self.judgments,
            "decisions": self.decisions,
            "tasks": self.tasks,
            "prompts": self.prompts,
            "annotators": len(self.annotators),
            "judgments_with_ties": self.tied,
            "judgments_with_strength": self.strengths,
            "agreement": self.agreement.figures(),
            **{name: self._table(name) for name in tables},
        }

    def _table(self, name: str) -> dict[str, int]:
        return dict(sorted((str(of), count) for of, count in self.by[name].items()))


def _write_judgments(
    session: Session, project: Project, query: SnapshotQuery, folder: Path, progress: Progress
) -> _Counts:
    project_id = key_of(project)
    reliability = _reliability(session, project_id, query)
    filters = filters_of(session, project_id=project_id, query=query, reliability=reliability)
    counts = _Counts(reliability)
    settings = labeling_settings(project).export
    with pyarrow.parquet.ParquetWriter(folder / ROWS, SCHEMA, compression="zstd") as writer:
        kept = _kept_rows(session, project_id, filters, counts, settings.prompts_at_once, progress)
        for rows in _batches(kept, settings.rows_at_once):
            counts.digest.add(rows)
            writer.write_table(pyarrow.Table.from_pylist(rows, schema=SCHEMA))
    return counts


def _kept_rows(
    session: Session,
    project_id: int,
    filters: Filters,
    counts: _Counts,
    prompts_at_once: int,
    progress: Progress,
) -> Iterator[list[Row]]:
    """Yield the rows of each task that stay, and count all."""
    query = filters.query
    total = count_judged_prompts(session, project_id=project_id)
    found = project_judgments(
        session,
        project_id=project_id,
        models=query.models,
        decisions=query.decisions,
        prompts_at_once=prompts_at_once,
    )
    seen, last = 0, 0
    for candidates in found:
        if candidates[0].row["prompt_id"] != last:
            seen, last = seen + 1, candidates[0].row["prompt_id"]
            progress("reading judgments", seen / total)
        checked = filters.apply(candidates)
        counts.considered += len(checked)
        for each in checked:
            if each.excluded is not None:
                counts.leave_out(each.excluded)
        kept = [_whole(each.row, filters) for each in checked if each.excluded is None]
        if kept:
            counts.add(kept)
            yield kept


def _whole(row: Row, filters: Filters) -> Row:
    return {**row, "reliability": filters.reliability.get(row["annotator_id"])}


def _batches(tasks: Iterator[list[Row]], rows_at_once: int) -> Iterator[list[Row]]:
    held: list[list[Row]] = []
    size = 0
    for rows in tasks:
        held.append(rows)
        size += len(rows)
        if size >= rows_at_once:
            yield list(chain.from_iterable(held))
            held, size = [], 0
    if held:
        yield list(chain.from_iterable(held))


def _reliability(session: Session, project_id: int, query: SnapshotQuery) -> dict[int, float]:
    if not query.needs_reliability:
        return {}
    from labeling.statistics.reliability import reliability_weights

    return dict(reliability_weights(session, project_id=project_id))


def _write_demonstrations(session: Session, project: Project, folder: Path) -> dict[str, Any]:
    found = demonstrations_of(session, project_id=key_of(project))
    found["messages"] = [canonical_json(messages) for messages in found["messages"]]
    rows = found[list(DEMONSTRATION_SCHEMA.names)].to_dict("records")
    digest = RowsDigest(DEMONSTRATION_SCHEMA.names)
    digest.add(rows)
    table = pyarrow.Table.from_pylist(rows, schema=DEMONSTRATION_SCHEMA)
    pyarrow.parquet.write_table(table, folder / DEMONSTRATIONS)
    splits = Counter(row["split"] for row in rows)
    licences = Counter(name or NO_LICENCE for name in found["license"])
    return {
        "demonstrations": len(rows),
        "demonstrations_by_split": dict(sorted(splits.items())),
        "demonstration_licences": dict(sorted(licences.items())),
        "demonstrations_sha256": digest.hex,
    }
