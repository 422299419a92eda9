"""The export page: a snapshot, or the current data, as files that trainers read."""

import json
from datetime import UTC, datetime

import streamlit as st

from labeling.datasets.export_preferences import export_preferences
from labeling.datasets.file_types import FILE_TYPES
from labeling.datasets.snapshot_list import find_snapshot, list_snapshots
from labeling.formats.registry import FORMATS
from labeling.formats.sample import sample_row
from labeling.permissions import Action, require
from storage.errors import RankloopError
from storage.plurals import counted, form
from ui import process, session
from ui.export_parts import CURRENT, bar_progress, choose_snapshot, frozen_figures, offer
from ui.figures import measured
from ui.plain_text import plain


def show() -> None:
    """Choose a snapshot, a format and a type of files; export them, and offer what is small."""
    account, project = session.require_account(), process.project()
    require(account, Action.EXPORT, project_id=process.project_id())
    assert project.id is not None
    st.title("Export")
    judged = measured.judged_prompts(account)
    with process.reading() as rows:
        snapshots = list_snapshots(rows, project_id=project.id, account=account)
    if not judged and not snapshots:
        st.info("There are no preferences yet. Rank some tasks; each untied pair becomes a row.")
        return
    chosen = choose_snapshot(snapshots)
    if chosen == CURRENT:
        judged_words = f"{counted(judged, 'prompt')} {form(judged, 'is', 'are')} judged"
        st.text(f"{judged_words}. What was said of them is frozen as a snapshot and exported.")
    else:
        with process.reading() as rows:
            found = find_snapshot(rows, project_id=project.id, which=chosen)
        frozen_figures(found.manifest)
    shape = st.selectbox("Format", list(FORMATS), help="What one row is.", width=400)
    st.caption(plain(FORMATS[shape].help[0].upper() + FORMATS[shape].help[1:] + "."))
    with st.expander("What a row looks like"):
        st.caption("A made-up ranking of two answers, in the shape that your rows will have.")
        row = json.dumps(sample_row(FORMATS[shape]), indent=2, ensure_ascii=False, default=str)
        st.code(row, language="json", wrap_lines=True)
    kind = st.selectbox(
        "Files", list(FILE_TYPES), format_func=lambda name: FILE_TYPES[name].help, width=400
    )
    if st.button("Export", type="primary"):
        _export(chosen, shape, kind)
    st.caption("The same from the command line:")
    which = "" if chosen == CURRENT else f" --snapshot {chosen}"
    command = f"rankloop export preferences{which} --format {shape} --files {kind} --out {shape}"
    st.code(command, language="bash")


def _export(chosen: str, shape: str, kind: str) -> None:
    name = f"{shape}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    bar = st.empty()
    try:
        done = export_preferences(
            process.engine(),
            project=process.project(),
            account=session.require_account(),
            home=process.settings().home,
            out=process.settings().home / "exports" / name,
            format=shape,
            file_type=kind,
            snapshot=None if chosen == CURRENT else chosen,
            progress=bar_progress(bar),
        )
    except RankloopError as error:
        st.error(plain(str(error)))
        return
    finally:
        bar.empty()
    counts = ", ".join(f"{number:,} {split}" for split, number in done.rows.items())
    st.success(plain(f"{counts} rows are in {done.folder} on the server."))
    offer(done.folder, name)
