"""The error of model annotators on their audit, and their agreement with people."""

import pytest
from sqlalchemy import Engine

from labeling.labeling_sections import ModelAnnotatorSettings
from labeling.model_annotators.model_judgments import (
    ModelLabel,
    model_account,
    store_model_judgment,
)
from labeling.model_annotators.model_quality import ModelFigures, model_figures
from labeling.statistics.quality import Quality, quality
from storage.engine import reading, writing
from storage.errors import NotAllowed
from storage.tables import Account, Project, Role
from tests.labeling.stage import Stage, set_stage

LEAD = Account(name="lead", role=Role.LEAD)


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project, overlap=2)


def _label(stage: Stage, task_id: int, ranks: list[int], confidence: float, audit: float) -> None:
    with writing(stage.engine) as session:
        store_model_judgment(
            session,
            task_id=task_id,
            account=model_account(session, name="reward model"),
            label=ModelLabel(ranks, confidence),
            settings=ModelAnnotatorSettings(audit=audit),
        )


def _figures(stage: Stage) -> list[ModelFigures]:
    with reading(stage.engine) as session:
        return model_figures(session, project_id=stage.project_id, account=LEAD)


def _quality(stage: Stage) -> Quality:
    with reading(stage.engine) as session:
        return quality(session, project_id=stage.project_id, account=LEAD)


def test_without_a_model_there_is_nothing(stage: Stage) -> None:
    assert _figures(stage) == []


def test_the_error_is_of_the_audit_alone_and_agreement_of_all_tasks(stage: Stage) -> None:
    audited = stage.add_task("a", k=3)
    _label(stage, audited, [1, 2, 2], 0.9, audit=1.0)
    stage.judge("ann", [2, 1, 3])
    unsure = stage.add_task("b", k=2)
    _label(stage, unsure, [1, 2], 0.6, audit=1.0)
    stage.judge("ann", [1, 2])
    _label(stage, stage.add_task("c", k=2), [1, 2], 0.95, audit=0.0)
    _label(stage, stage.add_task("d", k=2), [1, 2], 0.95, audit=1.0)
    (found,) = _figures(stage)
    # Of the pairs (0,1), (0,2), (1,2): wrong, right, and the model's tie counts half.
    assert found.error.value == pytest.approx(0.5)
    assert (found.error.n, found.judgments) == (3, 4)
    assert (found.taken, found.audit, found.audited) == (1, 2, 1)
    assert found.confidence == pytest.approx(0.9)
    # Equal on one pair of the audit and on the unsure one.
    assert found.agreement.value == pytest.approx(2 / 4)


def test_a_model_is_measured_against_people_and_changes_none_of_their_figures(
    stage: Stage,
) -> None:
    task = stage.add_task("a", k=2)
    _label(stage, task, [2, 1], 0.6, audit=0.0)
    stage.judge("ann", [1, 2])
    stage.judge("ben", [1, 2])
    found = _quality(stage)
    rows = {row["name"]: row for row in found.annotators.to_dict("records")}
    assert (rows["ann"]["agreement"], rows["ann"]["agreement_n"]) == (1.0, 1)
    assert rows["reward model"]["kind"] == "model"
    assert (rows["reward model"]["agreement"], rows["reward model"]["agreement_n"]) == (0.0, 2)
    assert (found.judgments, found.pairwise_agreement.value) == (2, 1.0)


def test_only_those_who_see_quality_see_it(stage: Stage) -> None:
    annotator = Account(name="ann", role=Role.ANNOTATOR)
    with reading(stage.engine) as session, pytest.raises(NotAllowed):
        model_figures(session, project_id=stage.project_id, account=annotator)
