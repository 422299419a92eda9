"""Parts of the export page: what a snapshot holds, and small exports as a download."""

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas
import streamlit as st

from labeling.datasets.snapshot_list import SnapshotSummary
from storage.plurals import counted
from ui.charts.figure_card import figure_card
from ui.plain_text import plain

#: What stands for no snapshot: it is no number, as ids are.
CURRENT = "current"
LARGEST_DOWNLOAD = 20 * 2**20


def choose_snapshot(snapshots: list[SnapshotSummary]) -> str:
    """Let people choose, the newest first; return a snapshot's id, or `CURRENT`."""
    names = {str(one.id): _name(one) for one in reversed(snapshots)}
    choices = [CURRENT, *names]
    return st.selectbox(
        "Data", choices, format_func=lambda each: names.get(each, "The current data"), width=400
    )


def _name(one: SnapshotSummary) -> str:
    rounds = f", round {', '.join(map(str, one.rounds))}" if one.rounds else ""
    name = f" {one.name}" if one.name else ""
    at = f"{one.created_at:%Y-%m-%d %H:%M}"
    return f"Snapshot {one.id}{name} ({at}, {counted(one.judgments, 'judgment')}{rounds})"


def frozen_figures(manifest: dict[str, Any]) -> None:
    """Draw what a snapshot holds, and what stayed out and why."""
    places = st.columns(3)
    excluded: dict[str, int] = manifest.get("excluded", {})
    for place, label, value, note in zip(
        places,
        ("Judgments", "Tasks", "Left out"),
        (manifest.get("judgments"), manifest.get("tasks", "–"), sum(excluded.values())),
        (f"SHA-256 {manifest.get('rows_sha256', '')[:12]}", "", "with a reason each"),
        strict=True,
    ):
        figure_card(place, label, value, note)
    if excluded:
        rows = pandas.DataFrame({"reason": excluded.keys(), "judgments": excluded.values()})
        with st.expander("Why judgments stayed out"):
            st.dataframe(rows, hide_index=True)


def offer(folder: Path, name: str) -> None:
    """Offer a small folder as a zip file; a large one stays where it is."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    # A download is held in the server's memory.
    if sum(path.stat().st_size for path in files) > LARGEST_DOWNLOAD:
        st.text(plain("It is too large for a download; copy the folder from the server."))
        return
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in files:
            archive.write(path, path.relative_to(folder))
    st.download_button("Download as zip", packed.getvalue(), f"{name}.zip", "application/zip")


def bar_progress(bar: Any) -> Callable[[str, float], None]:
    """Return a progress function that draws a bar, and no more often than it is seen to move."""
    shown: list[tuple[str, int]] = []

    def show(what: str, share: float) -> None:
        step = (what, int(100 * share))
        if [step] != shown[-1:]:
            shown.append(step)
            bar.progress(min(1.0, share), text=plain(what.capitalize()))

    return show
