"""Real files go in by the documented commands.

HH-RLHF may not be shipped: its test needs the variable RANKLOOP_TEST_DATA, a folder that has
`hh_helpful.jsonl.gz`.
"""

import gzip
import json
import os
from collections import Counter
from pathlib import Path

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.imports.preferences import import_staged, staged_file
from storage.engine import reading, writing
from storage.tables import Account, Import, Project
from tests.labeling.trained_rows import trained_rows

DATA = Path(__file__).parent / "data"
LABELS = Path(__file__).parents[1] / "statistics" / "data" / "pandalm_multi_annotator.jsonl.gz"


def bring(
    engine: Engine, project: Project, path: Path, format: str, texts: Path | None = None
) -> Import:
    with staged_file(path, format=format, texts=texts) as staged, writing(engine) as session:
        return import_staged(
            session,
            project=session.get_one(Project, project.id),
            staged=staged,
            by=None,
            heldout_share=0.1,
        )


def test_pandalm(sqlite_engine: Engine, sqlite_project: Project) -> None:
    texts = LABELS.with_name("pandalm_testset_v1_texts.jsonl.gz")
    done = bring(sqlite_engine, sqlite_project, LABELS, "long", texts)
    counts = done.counts
    assert (counts["tasks"], counts["judgments"], counts["annotators"]) == (999, 2997, 3)
    assert (counts["policies"], counts["nothing_to_compare"]) == (5, 0)
    with gzip.open(texts, "rt") as file:
        by_key = {str(row["idx"]): row for row in map(json.loads, file)}
    with gzip.open(LABELS, "rt") as file:
        rows = [json.loads(line) for line in file]
    wanted: Counter[tuple[str, str, int, str, int]] = Counter()
    for row in rows:
        ranks = {"1": (1, 2), "2": (2, 1), "tie": (1, 1)}[row["label"]]
        sides = [str(by_key[row["task_id"]][name]) for name in ("response1", "response2")]
        pairs = sorted(zip(sides, ranks, strict=True))
        wanted[(row["annotator_id"], *pairs[0], *pairs[1])] += 1
    with reading(sqlite_engine) as session:
        names = {one.id: one.name.split(" (")[0] for one in session.exec(select(Account))}
    judged = trained_rows(sqlite_engine, done.project_id)
    found: Counter[tuple[str, str, int, str, int]] = Counter()
    for one in judged.to_dict("records"):
        pairs = sorted(zip(one["completions"], one["ranks"], strict=True))
        found[(names[one["annotator_id"]], *pairs[0], *pairs[1])] += 1
    assert found == wanted


def test_open_assistant(sqlite_engine: Engine, sqlite_project: Project) -> None:
    path = DATA / "oasst_en100_ranked.jsonl.gz"
    done = bring(sqlite_engine, sqlite_project, path, "auto")
    assert done.format == "open_assistant"
    with gzip.open(path, "rt") as file:
        rows = [json.loads(line) for line in file]
    wanted = Counter(
        tuple(one["text"] for one in sorted(row["options"], key=lambda one: int(one["rank"])))
        for row in rows
    )
    judged = trained_rows(sqlite_engine, done.project_id)
    found = Counter(
        tuple(text for _, text in sorted(zip(one["ranks"], one["completions"], strict=True)))
        for one in judged.to_dict("records")
    )
    assert found == wanted and done.counts["judgments"] == 212


def test_hh_rlhf(sqlite_engine: Engine, sqlite_project: Project) -> None:
    path = Path(os.environ.get("RANKLOOP_TEST_DATA", "")) / "hh_helpful.jsonl.gz"
    if not path.is_file():
        pytest.skip("RANKLOOP_TEST_DATA names no folder with hh_helpful.jsonl.gz")
    done = bring(sqlite_engine, sqlite_project, path, "auto")
    assert (done.format, done.counts["judgments"]) == ("trl_preference", 2339)
    judged = trained_rows(sqlite_engine, done.project_id)
    assert Counter(judged["split"]) == {"train": 1843, "heldout": 496}
