"""A snapshot's rows as examples, prompt by prompt, a few hundred rows in memory at a time."""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import msgspec
import pyarrow
import pyarrow.parquet

from labeling.datasets.freezing import CONSOLIDATED, DEMONSTRATIONS, ROWS
from labeling.datasets.project_judgments import Row
from labeling.datasets.pseudonyms import Pseudonyms
from labeling.formats.example import Answer, Example, ExportSplit, Ranking, WrittenAnswer
from storage import blobs
from storage.errors import Unavailable
from storage.tables import Snapshot, Split

#: Of columns that snapshots of the first layout do not have.
_MISSING: Row = {
    "policy_versions": None,
    "policies": None,
    "round": 0,
    "source": "",
    "license": "",
    "tags": [],
    "language": "",
    "strength": None,
    "likert": "{}",
    "checks": "{}",
    "flags": [],
    "rationale": "",
    "milliseconds": 0,
    "guideline_version": None,
    "annotator_kind": "person",
    "reliability": None,
}
_ROWS_READ_AT_ONCE = 512
_FROM_JSON = msgspec.json.decode


@dataclass(frozen=True)
class SnapshotExamples:
    """The examples of one snapshot; its files are checked against the manifest's hashes."""

    snapshot: Snapshot
    home: Path
    pseudonyms: Pseudonyms
    validation_share: float

    @property
    def label(self) -> str:
        """Return the snapshot's name for good, which every row carries."""
        return self.snapshot.uri.rpartition("/")[2]

    def judged(self) -> Iterator[list[Example]]:
        """Yield the judged tasks, one list a prompt."""
        of_prompt = groupby(self._tasks(), key=lambda example: example.prompt_id)
        for _, examples in of_prompt:
            yield list(examples)

    def demonstrated(self) -> Iterator[list[Example]]:
        """Yield one example a prompt that has demonstrations, in a list of its own."""
        if "demonstrations_sha256" not in self.snapshot.manifest:
            return
        rows = sorted(self._read(DEMONSTRATIONS), key=itemgetter("prompt_id", "id"))
        for prompt_id, written in groupby(rows, key=itemgetter("prompt_id")):
            of_prompt = list(written)
            first = of_prompt[0]
            yield [
                Example(
                    prompt_id=prompt_id,
                    task_id=0,
                    messages=_FROM_JSON(first["messages"]),
                    demonstrations=tuple(self._written(row) for row in of_prompt),
                    split=export_split(first["split"], first["messages"], self.validation_share),
                    snapshot=self.label,
                )
            ]

    def _tasks(self) -> Iterator[Example]:
        labels = self._consolidated()
        for _, rows in groupby(self._judgments(), key=itemgetter("task_id")):
            yield self._example(list(rows), next(labels) if labels else None)

    def _judgments(self) -> Iterator[Row]:
        rows = self._read(ROWS)
        if "columns" in self.snapshot.manifest:
            return rows
        # The first layout is ordered by time, and its rankings were taken into memory as a whole.
        old = ({**_MISSING, **row} for row in rows)
        return iter(sorted(old, key=itemgetter("prompt_id", "task_id", "judgment_id")))

    def _consolidated(self) -> Iterator[Row] | None:
        if "consolidated_sha256" not in self.snapshot.manifest:
            return None
        return self._read(CONSOLIDATED)

    def _read(self, name: str) -> Iterator[Row]:
        path = blobs.local_path(self.home, self.snapshot.uri) / name
        try:
            with pyarrow.parquet.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_ROWS_READ_AT_ONCE):
                    yield from batch.to_pylist()
        except (OSError, pyarrow.ArrowException) as error:
            raise Unavailable(
                f"The file {self.snapshot.uri}/{name} cannot be read ({error}); restore it from a "
                "backup."
            ) from error

    def _example(self, rows: list[Row], label: Row | None) -> Example:
        first = rows[0]
        return Example(
            prompt_id=first["prompt_id"],
            task_id=first["task_id"],
            messages=_FROM_JSON(first["messages"]),
            completions=_answers(first),
            rankings=tuple(self._ranking(row) for row in rows),
            consolidated=self._label(label) if label else None,
            split=export_split(first["split"], first["messages"], self.validation_share),
            policy_version=first["policy_version"],
            round=first["round"],
            snapshot=self.label,
            source=first["source"],
            license=first["license"],
            tags=tuple(first["tags"]),
            language=first["language"],
        )

    def _ranking(self, row: Row) -> Ranking:
        return Ranking(
            ranks=tuple(row["ranks"]),
            annotator=self.pseudonyms.of(row["annotator_id"]),
            annotator_kind=row["annotator_kind"],
            judgment_id=row["judgment_id"],
            strength=row["strength"],
            likert=_parsed(row["likert"]),
            checks=_parsed(row["checks"]),
            flags=tuple(row["flags"]),
            rationale=row["rationale"],
            milliseconds=row["milliseconds"],
            guideline_version=row["guideline_version"],
            created_at=row["created_at"],
            reliability=row["reliability"],
        )

    def _label(self, row: Row) -> Ranking:
        return Ranking(
            ranks=tuple(row["ranks"]),
            annotator=self.snapshot.query["consolidation"],
            annotator_kind="consolidated",
            uncertainty=row["uncertainty"],
        )

    def _written(self, row: Row) -> WrittenAnswer:
        annotator = self.pseudonyms.of(row["annotator_id"])
        return WrittenAnswer(row["id"], row["text"], annotator, row["created_at"])


def export_split(split: str, messages: str, validation_share: float) -> ExportSplit:
    """Return which file a prompt (canonical JSON of its messages) belongs to, always the same.

    Held-out prompts are the test; of the others a share, by a hash of the prompt, is validation.
    """
    if split == Split.HELDOUT.value:
        return "test"
    digest = sha256(f"validation:{messages}".encode()).digest()
    place = int.from_bytes(digest[:8], "big") / 2**64
    return "validation" if place < validation_share else "train"


def _answers(row: Row) -> tuple[Answer, ...]:
    ids = row["completion_ids"]
    versions = row["policy_versions"] or [row["policy_version"]] * len(ids)
    names = row["policies"] or [""] * len(ids)
    columns = (ids, row["completions"], versions, names, row["finish_reasons"])
    return tuple(Answer(*of_one) for of_one in zip(*columns, strict=True))


def _parsed(text: str) -> dict[str, Any]:
    # Most judgments have none, and there are many judgments.
    return {} if text == "{}" else _FROM_JSON(text)
