from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sqlalchemy import Engine

from labeling.statistics.bootstrap import Resampling
from labeling.statistics.breakdowns import COLUMNS, DIMENSIONS, breakdown, project_breakdown
from labeling.statistics.judgment_columns import JudgmentColumns, judgment_columns
from labeling.statistics.measures import ranking_figures
from labeling.statistics.rankings import rankings_of_columns
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, AccountKind, Project, Prompt, Role
from tests.labeling.stage import Stage, set_stage

FEW = Resampling(resamples=20)


@pytest.fixture
def stage(sqlite_engine: Engine, sqlite_project: Project) -> Stage:
    return set_stage(sqlite_engine, sqlite_project, overlap=2)


@pytest.fixture
def judged(stage: Stage) -> JudgmentColumns:
    """Four tasks of K = 2; ann and bob agree on the first two, and not on the others."""
    for number in range(4):
        stage.add_task(f"t{number}", k=2)
        stage.judge("ann", [1, 2])
        stage.judge("bob", [1, 2] if number < 2 else [2, 1])
    with writing(stage.engine) as session:
        for prompt_id, tags, language in ((1, ["code"], "de"), (2, ["code", "talk"], "en")):
            prompt = session.get_one(Prompt, prompt_id)
            prompt.tags, prompt.language = tags, language
    with reading(stage.engine) as session:
        return judgment_columns(session, project_id=stage.project_id)


def agreement(table: pd.DataFrame) -> dict[str, object]:
    rows = table[table["measure"] == "pairwise_agreement"]
    return dict(zip(rows["group"], rows["value"], strict=True))


def test_by_language_and_tag(judged: JudgmentColumns) -> None:
    assert agreement(breakdown(judged, "language", resampling=FEW)) == {"": 0, "de": 1, "en": 1}
    by_tag = breakdown(judged, "tag", resampling=FEW)
    assert agreement(by_tag) == {"code": 1, "talk": 1}
    sizes = by_tag[["group", "judgments", "tasks"]].drop_duplicates()
    assert sizes.to_numpy().tolist() == [["code", 4, 2], ["talk", 2, 1]]


def test_by_policy_and_guideline(judged: JudgmentColumns) -> None:
    two = replace(
        judged,
        policy_version=np.repeat([1, 10], 4),
        # Of the last task bob's judgment is under the new guidelines.
        guideline_version=np.array([1] * 7 + [2]),
    )
    assert agreement(breakdown(two, "policy", resampling=FEW)) == {"1": 1, "10": 0}
    found = breakdown(two, "guideline", resampling=FEW)
    assert agreement(found) == {"1": pytest.approx(2 / 3), "2": None}
    assert found.loc[found["group"] == "2", "tasks"].iloc[0] == 1


def test_a_task_is_in_the_week_of_its_newest_judgment(judged: JudgmentColumns) -> None:
    days = ["2025-12-28", "2026-01-01", "2026-01-04", "2026-01-04"]
    days += ["2026-01-05", "2026-01-05", "2026-01-04", "2026-01-05"]
    found = breakdown(
        replace(judged, created_at=np.array(days, dtype="datetime64[us]")), "week", resampling=FEW
    )
    # Sunday the 4th ends week 1 of 2026, which began in December.
    assert agreement(found) == {"2026-W01": 1, "2026-W02": 0}
    assert found.groupby("group")["judgments"].first().tolist() == [4, 4]


def test_by_criterion_its_own_answers_are_measured(judged: JudgmentColumns) -> None:
    likert = np.zeros((8, 9), dtype=np.int8)
    likert[:4, :2] = [[7, 1], [7, 1], [3, 4], [3, 4]]
    checks = np.full((8, 9), -1, dtype=np.int8)
    checks[:, 0] = [1, 1, 0, 0, 1, 0, 0, 1]
    asked = replace(judged, likert={"truthful": likert}, checks={"safe": checks})
    found = breakdown(asked, "criterion", resampling=FEW)
    assert agreement(found) == {"truthful": 1.0, "safe": 0.5}
    values = found.set_index(["group", "measure"])["value"]
    assert values["truthful", "krippendorff_alpha"] == pytest.approx(1.0)
    assert ("safe", "gwet_ac2") not in values.index
    sizes = found.groupby("group", sort=False)[["judgments", "tasks"]].first()
    assert sizes.to_numpy().tolist() == [[4, 2], [8, 4]]


@pytest.mark.parametrize("by", DIMENSIONS)
def test_every_table_is_tidy_with_and_without_judgments(
    stage: Stage, judged: JudgmentColumns, by: str
) -> None:
    nothing = judged.where(np.zeros(len(judged), dtype=bool))
    for columns in (judged, nothing):
        found = breakdown(columns, by, resampling=FEW)
        assert tuple(found.columns) == COLUMNS
        assert not found.duplicated(["group", "measure"]).any()
        assert not any(value != value for value in found["value"])


def test_the_whole_project_is_one_group(judged: JudgmentColumns) -> None:
    found = breakdown(judged, "project").set_index("measure")["value"].to_dict()
    whole = ranking_figures(rankings_of_columns(judged))
    assert found == {name: figure.value for name, figure in whole.items()}


def test_models_are_left_out_and_annotators_may_not_ask(
    stage: Stage, judged: JudgmentColumns
) -> None:
    with writing(stage.engine) as session:
        session.get_one(Account, stage.account("bob")).kind = AccountKind.MODEL
    lead = Account(name="lead", role=Role.LEAD)
    with reading(stage.engine) as session:
        found = project_breakdown(session, project_id=stage.project_id, account=lead, by="policy")
        assert found["judgments"].unique().tolist() == [4]
        with pytest.raises(NotAllowed, match="quality"):
            project_breakdown(
                session,
                project_id=stage.project_id,
                account=Account(name="a", role=Role.ANNOTATOR),
                by="policy",
            )
