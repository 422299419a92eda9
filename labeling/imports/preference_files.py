"""Read files of preferences of any known format into a staging, every row checked."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from labeling.imports.bad_rows import BadRows
from labeling.imports.preference_rows import long
from labeling.imports.preference_rows.fields import SPLITS
from labeling.imports.preference_rows.imported import Imported, ImportedPrompt
from labeling.imports.preference_rows.registry import ANY, AUTO, LONG, Reader, detect, reader_named
from labeling.imports.row_files import TOLD_EVERY, valid_language, valid_tags
from labeling.imports.row_shape import BadRow, Place, Row
from labeling.imports.row_streams import ENDINGS, RowStream
from labeling.imports.staging import Staging
from storage.errors import BadInput
from storage.tables import Split

Progress = Callable[[str, float], None]
#: Files that lie beside rows in a folder of `datasets` or of an export.
_NOT_ROWS = ("dataset_info.json", "state.json", "dataset_dict.json", "manifest.json")


@dataclass(frozen=True)
class PromptDefaults:
    """What is said of every prompt whose row does not say it; `split` holds whatever a row says."""

    split: Split | None = None
    tags: tuple[str, ...] = ()
    language: str = ""
    source: str = ""
    license: str = ""

    def __post_init__(self) -> None:
        """Raise `BadInput` where language or tags cannot be used; cut and count tags once."""
        object.__setattr__(self, "language", valid_language(self.language))
        object.__setattr__(self, "tags", valid_tags(self.tags))

    def applied(self, prompt: ImportedPrompt, split_of_file: Split | None) -> ImportedPrompt:
        """Return the prompt with what it does not say itself; the very same if that is nothing."""
        found = {
            "split": self.split or prompt.split or split_of_file,
            "tags": tuple(dict.fromkeys((*prompt.tags, *self.tags))),
            "language": prompt.language or self.language,
            "source": prompt.source or self.source,
            "license": prompt.license or self.license,
        }
        if all(getattr(prompt, name) == value for name, value in found.items()):
            return prompt
        changed: dict[str, Any] = found
        return replace(prompt, **changed)


def files_of(path: Path) -> list[Path]:
    """Return the files of rows: the path itself, or those in a folder, `train` before the others.

    Raises `BadInput` where a folder has none.
    """
    if not path.is_dir():
        return [path]
    found = [
        one
        for one in sorted(path.rglob("*"))
        if one.is_file()
        and one.name.lower().endswith(ENDINGS)
        and one.name not in _NOT_ROWS
        and not one.name.startswith((".", "cache-"))
    ]
    if not found:
        raise BadInput(f"{path}: the folder holds no file that ends in {', '.join(ENDINGS)}.")
    return sorted(found, key=lambda one: (split_of_file(one) is not Split.TRAIN, str(one)))


def split_of_file(path: Path) -> Split | None:
    """Return the split that a file (train.jsonl, test-00000.parquet) or its folder is named by."""
    first = path.name.split(".")[0].split("-")[0].lower()
    return SPLITS.get(first, SPLITS.get(path.parent.name))


def files_sha256(files: Iterable[Path]) -> str:
    """Return the SHA-256 of a file's bytes; of several, of their hashes."""
    found = []
    for path in files:
        try:
            with path.open("rb") as file:
                found.append(hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise BadInput(f"{path}: the file cannot be read ({error.strerror}).") from error
    return found[0] if len(found) == 1 else hashlib.sha256("\n".join(found).encode()).hexdigest()


def stage_files(
    staging: Staging,
    *,
    files: Sequence[Path],
    format: str,
    bad: BadRows,
    texts: Path | None = None,
    defaults: PromptDefaults | None = None,
    progress: Progress = lambda what, share: None,
) -> tuple[str, int]:
    """Read every row into the staging; return the format's name and the number of rows.

    With the format `auto` the first row decides. Raises `BadInput` naming file, line and field at
    the first bad row, unless `bad` takes them, and where a file cannot be read to its end or none
    holds a row.
    """
    reader = None if format == AUTO else reader_named(format)
    kept = defaults or PromptDefaults()
    rows = 0
    for path in files:
        reader = reader or _detected(path)
        rows += stage_rows(staging, path, _with_texts(reader, texts), bad, kept, progress)
    if rows == 0 or reader is None:
        raise BadInput(f"{files[0]}: the file holds no rows. Nothing was imported.")
    staging.put_together(bad)
    return reader.name, rows


def _detected(path: Path) -> Reader:
    for place, row in RowStream(path, ANY):
        if isinstance(row, BadRow):
            raise row
        return detect(row, place)
    raise BadInput(f"{path}: the file holds no rows. Nothing was imported.")


def _with_texts(reader: Reader, texts: Path | None) -> Reader:
    if texts is None:
        return reader
    if reader.name != LONG:
        raise BadInput(f"A file of texts belongs to the format {LONG}; leave it out.")
    return replace(reader, read=partial(long.read, texts=long.read_texts(texts)))


def stage_rows(
    staging: Staging,
    path: Path,
    reader: Reader,
    bad: BadRows,
    defaults: PromptDefaults,
    progress: Progress,
) -> int:
    """Read every row of one file by a reader into the staging; return how many there were.

    Raises `BadInput` naming file, line and field, unless `bad` takes the row.
    """
    stream, rows = RowStream(path, reader.shape), 0
    split = split_of_file(path)
    for place, row in stream:
        rows += 1
        if rows % TOLD_EVERY == 0:
            progress(f"Reading {path.name}", stream.share)
        if isinstance(row, BadRow):
            bad.add(row, None)
            continue
        try:
            # All that a row holds, before any of it is taken.
            found = list(_completed(reader, row, place, defaults, split))
        except BadRow as error:
            bad.add(error, row)
            continue
        for one in found:
            staging.add(one, place)
    if rows >= TOLD_EVERY:
        progress(f"Reading {path.name}", 1.0)
    return rows


def _completed(
    reader: Reader, row: Row, place: Place, defaults: PromptDefaults, split: Split | None
) -> Iterator[Imported]:
    for one in reader.read(row, place):
        if isinstance(one, ImportedPrompt):
            yield defaults.applied(one, split)
        else:
            changed: dict[str, Any] = {"prompt": defaults.applied(one.prompt, split)}
            yield one if changed["prompt"] is one.prompt else replace(one, **changed)
