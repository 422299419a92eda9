"""Answers of the API that are files."""

import tarfile
from pathlib import Path
from typing import Any

from starlette.responses import FileResponse

from labeling.datasets.export_preferences import export_preferences
from storage.errors import BadInput, NotFound
from ui import process
from ui.api.asked import Asked

SPLITS = ("train", "validation", "test")


def export(asked: Asked) -> Any:
    """Return a snapshot's preferences in a format, as one file or as a tar of all."""
    wanted = asked.query.get("split", "")
    if wanted and wanted not in SPLITS:
        raise BadInput(f"There is no split {wanted}; there are {', '.join(SPLITS)}.")
    done = export_preferences(
        process.engine(),
        project=asked.project,
        account=asked.account,
        home=process.settings().home,
        out=asked.folder / "export",
        format=asked.query.get("format", "trl_preference"),
        file_type=asked.query.get("files", "jsonl"),
        snapshot=asked.path["which"],
        validation_share=_share(asked),
    )
    name = f"snapshot-{done.snapshot_id}-{done.format}"
    if not wanted:
        return _sent(_tar(done.folder, asked.folder / f"{name}.tar", name))
    files = [each for each in done.folder.rglob("*") if each.is_file() and each.stem]
    found = next((each for each in files if each.name.partition(".")[0] == wanted), None)
    if found is None:
        raise NotFound(f"This snapshot has no row in the split {wanted}; take another.")
    return _sent(found, f"{name}-{found.name}")


def _share(asked: Asked) -> float | None:
    text = asked.query.get("validation_share")
    if text is None:
        return None
    try:
        return float(text)
    except ValueError as error:
        raise BadInput("The parameter validation_share is no number from 0 to 0.5.") from error


def _tar(folder: Path, file: Path, name: str) -> Path:
    with tarfile.open(file, "w") as tar:
        tar.add(folder, arcname=name)
    return file


def _sent(file: Path, name: str = "") -> FileResponse:
    return FileResponse(file, filename=name or file.name, media_type="application/octet-stream")
