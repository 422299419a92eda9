"""The judgments behind a figure: what a selection takes, and what an address says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Engine

from labeling.statistics.judgment_columns import judgment_columns
from labeling.statistics.judgments_behind import Selection, judgments_behind, selected
from storage.engine import reading
from storage.errors import BadInput, NotAllowed
from storage.tables import Project, Role
from tests.labeling.stage import Stage, set_stage

NUMBERS = st.none() | st.integers(0, 10**6)
TEXTS = st.none() | st.text(max_size=8)


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    """Two tasks that ann and bob judged, and one that ann judged alone."""
    stage = set_stage(engine, project, overlap=2)
    for text in ("one", "two", "three"):
        stage.add_task(text)
    for ranks in ([1, 2, 3, 4], [2, 1, 3, 4], [1, 1, 1, 1]):
        stage.judge("ann", ranks)
    for ranks in ([4, 3, 2, 1], [1, 2, 3, 3]):
        stage.judge("bob", ranks)
    stage.account("lena", Role.LEAD)
    return stage


def chosen(stage: Stage, selection: Selection) -> list[tuple[str, list[int]]]:
    with reading(stage.engine) as session:
        columns = judgment_columns(session, project_id=stage.project_id)
        found = judgments_behind(
            session, project_id=stage.project_id, account=stage.accounts["lena"],
            columns=columns, places=selected(columns, selection),
        )  # fmt: skip
    return [(one.annotator, one.ranks) for one in found]


def test_two_annotators_are_their_shared_tasks(stage: Stage) -> None:
    ann, bob = stage.account("ann"), stage.account("bob")
    both = chosen(stage, Selection(annotator=ann, other=bob))
    assert [name for name, _ in both] == ["ann", "ann", "bob", "bob"]
    assert ("ann", [1, 1, 1, 1]) not in both
    assert len(chosen(stage, Selection(annotator=ann))) == 3
    assert chosen(stage, Selection(shared=1)) == both


def test_conditions_are_all_wanted(stage: Stage) -> None:
    assert len(chosen(stage, Selection(version=1))) == 5
    assert chosen(stage, Selection(version=2)) == []
    assert chosen(stage, Selection(until="2000-01-01")) == []
    assert len(chosen(stage, Selection(since="2000-01-01T00:00:00"))) == 5
    assert chosen(stage, Selection(tag="code")) == [] == chosen(stage, Selection(models=1))


def test_texts_and_the_others_come_with_a_judgment(stage: Stage) -> None:
    with reading(stage.engine) as session:
        columns = judgment_columns(session, project_id=stage.project_id)
        one = judgments_behind(
            session, project_id=stage.project_id, account=stage.accounts["lena"],
            columns=columns, places=selected(columns, Selection())[:1],
        )[0]  # fmt: skip
        with pytest.raises(NotAllowed):
            judgments_behind(
                session, project_id=stage.project_id, account=stage.accounts["ann"],
                columns=columns, places=selected(columns, Selection()),
            )  # fmt: skip
    assert one.messages[-1]["content"] == one.completions[0].partition(".")[0]
    assert one.annotator == "ann" and [name for name, _ in one.others] == ["bob"]


@given(annotator=NUMBERS, other=NUMBERS, version=NUMBERS, tag=TEXTS, language=TEXTS)
def test_an_address_is_read_back(
    annotator: int | None, other: int | None, version: int | None, tag: str | None,
    language: str | None,
) -> None:  # fmt: skip
    asked = Selection(
        annotator=annotator, other=other, version=version, tag=tag, language=language,
        since="2026-01-05T00:00:00",
    )  # fmt: skip
    assert Selection.of_query(asked.query()) == asked


@pytest.mark.parametrize("query", [{"annotator": "ann"}, {"since": "yesterday"}])
def test_an_address_that_says_nothing_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="choose a figure again"):
        Selection.of_query(query)
