import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine
from sqlmodel import col, select

from labeling.imports.prompts import (
    PromptImport,
    add_starter_prompts,
    content_sha256,
    count_prompts,
    import_prompts,
    split_of,
    staged_prompts,
)
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed
from storage.tables import Account, Event, Project, Prompt, Role, Split


def write(folder: Path, texts: list[str]) -> Path:
    path = folder / "mine.jsonl"
    path.write_text("".join(json.dumps({"prompt": text}) + "\n" for text in texts))
    return path


def test_duplicates_are_counted_within_a_file_and_against_the_project(
    engine: Engine, project: Project, tmp_path: Path
) -> None:
    for texts, expected in [
        (["a", "b", "a"], PromptImport(added=2, duplicates=1, total=3)),
        (["b", "c"], PromptImport(added=1, duplicates=1, total=2)),
    ]:
        with writing(engine) as session:
            path = write(tmp_path, texts)
            with staged_prompts(path) as prompts:
                done = import_prompts(session, project=project, prompts=prompts, heldout_share=0.1)
        assert done == expected
    with reading(engine) as session:
        rows = session.exec(select(Prompt).order_by(col(Prompt.id))).all()
        events = session.exec(select(Event).where(Event.kind == "prompts.imported")).all()
    assert [row.messages[0]["content"] for row in rows] == ["a", "b", "c"]
    assert [(e.detail["file"], e.detail["added"]) for e in events] == [
        ("mine.jsonl", 2),
        ("mine.jsonl", 1),
    ]


def test_one_bad_line_imports_nothing(engine: Engine, project: Project, tmp_path: Path) -> None:
    path = write(tmp_path, [f"text {number}" for number in range(50)] + [""])
    with (
        writing(engine) as session,
        pytest.raises(BadInput, match="line 51, field prompt"),
        staged_prompts(path) as prompts,
    ):
        import_prompts(session, project=project, prompts=prompts, heldout_share=0.1)
    with reading(engine) as session:
        assert session.exec(select(Prompt)).all() == []
        assert session.exec(select(Event)).all() == []


def test_annotators_may_not_import(
    sqlite_engine: Engine, sqlite_project: Project, tmp_path: Path
) -> None:
    annotator = Account(name="a", role=Role.ANNOTATOR)
    path = write(tmp_path, ["a"])
    with (
        staged_prompts(path) as prompts,
        writing(sqlite_engine) as session,
        pytest.raises(NotAllowed),
    ):
        import_prompts(
            session, project=sqlite_project, prompts=prompts, heldout_share=0.1, account=annotator
        )


def test_the_starter_set_is_real_licensed_and_keeps_evaluation_held_out(
    sqlite_engine: Engine, sqlite_project: Project
) -> None:
    with writing(sqlite_engine) as session:
        first = add_starter_prompts(session, project=sqlite_project, heldout_share=0.1)
        again = add_starter_prompts(session, project=sqlite_project, heldout_share=0.1)
        assert count_prompts(session, project_id=sqlite_project.id or 0) == first.added
        rows = session.exec(select(Prompt)).all()
    assert first.added >= 500
    assert again == PromptImport(added=0, duplicates=first.total, total=first.total)
    assert {row.license for row in rows} == {"MIT", "Apache-2.0"}
    bench = [row.split for row in rows if "mt_bench" in row.source]
    assert len(bench) > 50 and set(bench) == {Split.HELDOUT}
    others = [row.split for row in rows if "mt_bench" not in row.source]
    assert 0.05 < others.count(Split.HELDOUT) / len(others) < 0.15


digests = st.binary(min_size=32, max_size=32).map(bytes.hex)


@given(digests, st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_never_moves_a_prompt_into_training(
    digest: str, one: float, other: float
) -> None:
    small, large = sorted([one, other])
    assert split_of(digest, 0.0) == Split.TRAIN
    assert split_of(digest, 1.0) == Split.HELDOUT
    if split_of(digest, small) == Split.HELDOUT:
        assert split_of(digest, large) == Split.HELDOUT


def test_the_share_held_out_is_the_share_asked_for() -> None:
    hashes = [content_sha256([{"role": "user", "content": str(n)}]) for n in range(5000)]
    heldout = sum(split_of(digest, 0.15) == Split.HELDOUT for digest in hashes)
    assert 0.13 < heldout / 5000 < 0.17


def test_role_and_content_both_make_the_hash() -> None:
    one = content_sha256([{"role": "user", "content": "a"}])
    assert one != content_sha256([{"role": "system", "content": "a"}])
    assert one == content_sha256([{"content": "a", "role": "user"}])
