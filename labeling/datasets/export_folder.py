"""The folder of an export: a file a split and a card, whole or not there at all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from uuid import uuid4

from labeling.datasets.dataset_card import dataset_card
from labeling.datasets.file_types import FileType, finish_arrow
from labeling.datasets.freezing import Progress
from labeling.datasets.row_writers import RowWriter
from labeling.datasets.snapshot_examples import SnapshotExamples
from labeling.formats.example import EXPORT_SPLITS, Example, ExportSplit, strict_pairs
from labeling.formats.registry import Format, Unit
from labeling.keys import key_of
from labeling.labeling_sections import ExportSettings
from storage.errors import Conflict, NotFound, Unavailable
from storage.plurals import counted
from storage.tables import Project

_CARD = "README.md"


@dataclass(frozen=True)
class Export:
    """Say what was exported where: rows of each split, and of how much they were made."""

    folder: Path
    format: str
    file_type: str
    snapshot_id: int
    snapshot: str
    rows: dict[ExportSplit, int]
    judgments: int
    tasks: int
    prompts: int

    @property
    def train(self) -> int:
        """Return the rows for training."""
        return self.rows["train"]

    @property
    def validation(self) -> int:
        """Return the rows for validation."""
        return self.rows["validation"]

    @property
    def test(self) -> int:
        """Return the rows of held-out prompts."""
        return self.rows["test"]


def nothing_to_export() -> NotFound:
    """Return the error of an export without a row."""
    return NotFound("There are no preferences to export yet; rank some tasks first.")


def _no_row(examples: SnapshotExamples, shape: Format) -> NotFound:
    """Return the error of an export of a snapshot that holds none of what the format writes."""
    snapshot = examples.snapshot
    judgments = int(snapshot.manifest.get("judgments", 0))
    where = f"Snapshot {snapshot.id} holds {counted(judgments, 'judgment')}"
    if shape.unit == "demonstration":
        why = "no demonstration: an answer that an annotator wrote or rewrote, or an import brought"
        return NotFound(f"{where} and {why}; there is nothing to write as {shape.name}.")
    if not judgments:
        return NotFound(f"{where}; `rankloop snapshot show {snapshot.id}` says what stayed out.")
    return NotFound(
        f"{where}, but no {shape.unit} for {shape.name}: they tie everything; take the format "
        "ranking, which has ties."
    )


def free_folder(out: Path) -> Path:
    """Return the absolute path of `out`, which is not there or holds nothing."""
    try:
        # `.` and `..` have no name that a folder beside them could be called after.
        folder = Path(os.path.realpath(out))
        taken = folder.exists() and (not folder.is_dir() or _holds_anything(folder))
    except OSError as error:
        raise _cannot_be_written(out, error) from error
    if taken:
        raise Conflict(f"{out} is not an empty folder; name a new one, nothing was written.")
    return folder


def _holds_anything(folder: Path) -> bool:
    # What an export that was killed left in the folder is taken away by the next.
    return any(not _is_leftover(path) for path in folder.iterdir())


def _is_leftover(path: Path) -> bool:
    return path.name.startswith(".") and path.name.endswith(".export-part") and path.is_dir()


def write_folder(
    folder: Path,
    examples: SnapshotExamples,
    shape: Format,
    kind: FileType,
    settings: ExportSettings,
    project: Project,
    progress: Progress,
) -> Export:
    """Write an export's files and its card; the folder gets them all at the end, or none.

    Raises `NotFound` where there is no row, `Unavailable` where nothing can be written.
    """
    # An empty folder that is there stays the same one: a shell may stand in it, a disk be mounted.
    here = folder.is_dir()
    _remove_leftovers(folder, here)
    part = f"{uuid4().hex}.export-part"
    unfinished = folder / f".{part}" if here else folder.with_name(f".{folder.name}.{part}")
    try:
        unfinished.mkdir(parents=True)
        files = _Files(unfinished, shape, kind, settings.rows_at_once, examples.validation_share)
        counts = files.write(examples, progress)
        if not any(counts.rows.values()):
            raise _no_row(examples, shape)
        done = counts.as_export(folder, shape, kind, examples)
        card = dataset_card(done, examples.snapshot, project=project, shape=shape, kind=kind)
        (unfinished / _CARD).write_text(card, encoding="utf-8")
        _put_in_place(unfinished, folder, here)
    except OSError as error:
        raise _cannot_be_written(folder, error) from error
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return done


def _remove_leftovers(folder: Path, here: bool) -> None:
    pattern = ".*.export-part" if here else f".{folder.name}.*.export-part"
    for path in (folder if here else folder.parent).glob(pattern):
        shutil.rmtree(path, ignore_errors=True)


def _put_in_place(unfinished: Path, folder: Path, here: bool) -> None:
    if not here:
        os.replace(unfinished, folder)
        return
    # The card comes last: a folder without it is not finished.
    for path in sorted(unfinished.iterdir(), key=lambda path: path.name == _CARD):
        os.replace(path, folder / path.name)


def _cannot_be_written(folder: Path, error: OSError) -> Unavailable:
    return Unavailable(
        f"{folder} cannot be written ({error.strerror}); name a folder that you can write to."
    )


@dataclass
class _Written:
    """What is counted while rows are written."""

    rows: dict[ExportSplit, int] = field(default_factory=lambda: dict.fromkeys(EXPORT_SPLITS, 0))
    judgments: int = 0
    tasks: int = 0
    prompts: int = 0

    def as_export(
        self, folder: Path, shape: Format, kind: FileType, examples: SnapshotExamples
    ) -> Export:
        return Export(
            folder=folder,
            format=shape.name,
            file_type=kind.name,
            snapshot_id=key_of(examples.snapshot),
            snapshot=examples.label,
            rows=self.rows,
            judgments=self.judgments,
            tasks=self.tasks,
            prompts=self.prompts,
        )


@dataclass(frozen=True)
class _Files:
    """The files of an export under way."""

    folder: Path
    shape: Format
    kind: FileType
    rows_at_once: int
    validation_share: float

    def write(self, examples: SnapshotExamples, progress: Progress) -> _Written:
        """Write every row of a snapshot to the file of its split."""
        counts = _Written()
        with ExitStack() as files:
            writers = {split: self._open(files, split) for split in self._splits()}
            for of_prompt in _weighed(examples, self.shape.unit):
                split = of_prompt[0].split
                counts.rows[split] += self._write_prompt(writers[split], of_prompt, counts)
                total = examples.snapshot.manifest.get("prompts") or 1
                progress("writing rows", min(1.0, counts.prompts / total))
        if self.kind.name == "arrow":
            finish_arrow(self.folder)
        return counts

    def _splits(self) -> tuple[ExportSplit, ...]:
        if self.validation_share:
            return EXPORT_SPLITS
        return tuple(split for split in EXPORT_SPLITS if split != "validation")

    def _open(self, files: ExitStack, split: ExportSplit) -> RowWriter:
        path = self.folder / f"{split}.{self.kind.name}"
        writer = self.kind.open(path, self.shape.schema, self.rows_at_once)
        files.callback(writer.close)
        return writer

    def _write_prompt(self, writer: RowWriter, of_prompt: list[Example], counts: _Written) -> int:
        rows = 0
        for example in of_prompt:
            for row in self.shape.rows(example):
                writer.write(row)
                rows += 1
            counts.judgments += len(example.rankings)
        counts.tasks += len(of_prompt)
        counts.prompts += 1
        return rows


def _weighed(examples: SnapshotExamples, unit: Unit) -> Iterator[list[Example]]:
    """Yield each prompt's examples that have rows, each row weighing one over the prompt's rows."""
    prompts = examples.demonstrated() if unit == "demonstration" else examples.judged()
    rows_of = _ROWS[unit]
    for of_prompt in prompts:
        rows = [rows_of(example) for example in of_prompt]
        # A prompt alone is one row, however many tasks it has.
        kept = of_prompt[:1] if unit == "prompt" else of_prompt
        total = 1 if unit == "prompt" else sum(rows)
        if total:
            yield [
                example if total == 1 else replace(example, weight=1 / total)
                for example, count in zip(kept, rows, strict=False)
                if count
            ]


def _pairs(example: Example) -> int:
    return sum(sum(1 for _ in strict_pairs(label.ranks)) for label in example.labels)


def _best_and_worst(example: Example) -> int:
    found = 0
    for label in example.labels:
        best, worst = min(label.ranks), max(label.ranks)
        if best != worst:
            found += sum(rank in (best, worst) for rank in label.ranks)
    return found


_ROWS: dict[Unit, Callable[[Example], int]] = {
    "pair": _pairs,
    "completion": _best_and_worst,
    "task": lambda _: 1,
    "prompt": lambda _: 1,
    "demonstration": lambda example: len(example.demonstrations),
}
