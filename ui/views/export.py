"""The export page: preferences as files that other trainers read."""

import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import streamlit as st

from labeling.datasets.comparisons import comparisons
from labeling.datasets.export_preferences import FORMATS, Export, export_preferences
from labeling.permissions import Action, require
from storage.engine import reading
from storage.errors import RankloopError
from ui import process, session
from ui.figure_card import figure_card
from ui.plain_text import plain

LARGEST_DOWNLOAD = 20 * 2**20


def show() -> None:
    """Show what there is to export, export it, and offer it."""
    account, project = session.require_account(), process.project()
    require(account, Action.EXPORT)
    assert project.id is not None
    st.title("Export")
    with reading(process.engine()) as rows:
        pairs = comparisons(rows, project_id=project.id)
    if pairs.empty:
        st.info("There are no preferences yet. Rank some tasks; each untied pair becomes a row.")
        return
    train, test, judged = st.columns(3)
    of_split = pairs["split"].value_counts()
    figure_card(train, "Pairs for training", int(of_split.get("train", 0)), "train.jsonl")
    figure_card(test, "Pairs for testing", int(of_split.get("heldout", 0)), "test.jsonl")
    figure_card(judged, "Judgments", int(pairs["judgment_id"].nunique()), "that made these pairs")
    st.text("Chosen and rejected completions of every untied pair; a prompt is in one split only.")
    chosen = st.selectbox("Format", list(FORMATS), width=320)
    if st.button("Export", type="primary"):
        _export(chosen)
    st.caption("The same from the command line:")
    st.code(f"rankloop export preferences --format {chosen} --out preferences", language="bash")


def _export(chosen: str) -> None:
    name = f"preferences-{chosen}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    try:
        done = export_preferences(
            process.engine(),
            project=process.project(),
            account=session.require_account(),
            out=process.settings().home / "exports" / name,
            format=chosen,
        )
    except RankloopError as error:
        st.error(plain(str(error)))
        return
    st.success(plain(f"{done.train} and {done.test} pairs are in {done.folder} on the server."))
    _offer(done, name)


def _offer(done: Export, name: str) -> None:
    files = sorted(path for path in done.folder.iterdir() if path.is_file())
    # A download is held in the server's memory: a large one stays a folder.
    if sum(path.stat().st_size for path in files) > LARGEST_DOWNLOAD:
        return
    st.download_button("Download as zip", _zip(files), f"{name}.zip", "application/zip")


def _zip(files: list[Path]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.name)
    return packed.getvalue()
