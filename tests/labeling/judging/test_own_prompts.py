"""Prompts that annotators write: only where a lead allows it, each once, split by its hash."""

from typing import Any

import pytest
from sqlalchemy import Engine
from sqlmodel import select

from labeling.imports.prompts import content_sha256, split_of
from labeling.judging.demonstrations import LONGEST_TEXT
from labeling.judging.own_prompts import LONGEST_PROMPT, OwnPrompt, add_own_prompt
from labeling.labeling_settings import change_labeling
from storage.engine import reading, writing
from storage.errors import BadInput, NotAllowed
from storage.tables import Account, Demonstration, Event, Project, Prompt
from tests.labeling.stage import Stage, set_stage


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    made = set_stage(engine, project)
    allow(made, True)
    return made


def allow(stage: Stage, allowed: bool) -> None:
    with writing(stage.engine) as session:
        stage.project = session.merge(stage.project)
        change_labeling(
            session, project=stage.project, by=None, section="page", values={"own_prompts": allowed}
        )


def write(stage: Stage, text: Any, answer: str = "", nonce: str = "nonce-0001") -> OwnPrompt:
    account_id = stage.account("ann")
    with writing(stage.engine) as session:
        return add_own_prompt(
            session, project=stage.project, account=session.get_one(Account, account_id),
            text=text, answer=answer, nonce=nonce, heldout_share=0.5,
        )  # fmt: skip


def test_a_prompt_and_its_answer_are_stored(stage: Stage) -> None:
    done = write(stage, " 为什么天空是蓝色的?\n", "Rayleigh scattering.")
    with reading(stage.engine) as session:
        prompt = session.get_one(Prompt, done.prompt_id)
        written = session.exec(select(Demonstration)).one()
        events = session.exec(select(Event.kind)).all()
    assert prompt.messages == [{"role": "user", "content": "为什么天空是蓝色的?"}]
    assert (prompt.source, prompt.written_by_id) == ("annotator", stage.account("ann"))
    assert prompt.split == split_of(content_sha256(prompt.messages), 0.5)
    assert (written.prompt_id, written.text) == (prompt.id, "Rayleigh scattering.")
    assert done == OwnPrompt(prompt.id or 0, True, written.id)
    assert {"prompt.written", "demonstration.stored"} <= set(events)


def test_a_retry_stores_once(stage: Stage) -> None:
    first, second = write(stage, "Why?", "So."), write(stage, "Why?", "So.")
    assert (first.prompt_id, first.demonstration_id) == (second.prompt_id, second.demonstration_id)
    assert not second.new


def test_a_known_prompt_is_not_stored_twice_but_its_answer_is_kept(stage: Stage) -> None:
    known = stage.add_prompt("Why?")
    done = write(stage, "Why? ", "Because.")
    assert (done.prompt_id, done.new) == (known, False)
    assert done.demonstration_id is not None
    with reading(stage.engine) as session:
        assert session.get_one(Prompt, known).written_by_id is None


def test_without_an_answer_there_is_no_demonstration(stage: Stage) -> None:
    assert write(stage, "Why?", "  \n").demonstration_id is None


@pytest.mark.parametrize("text", ["", " \n", "\x00", None, 7, "x" * (LONGEST_PROMPT + 1)])
def test_what_is_no_prompt_is_refused(stage: Stage, text: Any) -> None:
    with pytest.raises(BadInput):
        write(stage, text)


def test_an_answer_that_does_not_fit_stores_no_prompt(stage: Stage) -> None:
    with pytest.raises(BadInput):
        write(stage, "Why?", "x" * (LONGEST_TEXT + 1))
    with reading(stage.engine) as session:
        assert session.exec(select(Prompt)).all() == []


def test_a_lead_has_to_allow_it(stage: Stage) -> None:
    allow(stage, False)
    with pytest.raises(NotAllowed, match="ask a lead"):
        write(stage, "Why?")
