"""Every role tries every deed, through the function that does it, on a real database."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import numpy
import pytest
from sqlmodel import Session

from labeling.endpoint_policies import Endpoint
from labeling.imports.completions import stage_completions
from labeling.imports.preferences import StagedFile, staged_file
from labeling.imports.staged_prompts import StagedPrompts
from labeling.imports.staging import Staging
from labeling.labeling_settings import change_labeling
from labeling.loop_state import loop_state
from labeling.people.invitations import invite
from labeling.permissions import Action, narrowed_to
from labeling.quality_control.known_answer_files import KnownAnswerFile
from labeling.statistics.judgment_columns import judgment_columns
from labeling.withdrawals.scope import Scope
from labeling.work_queue.queue import TaskChoice
from storage.clock import now
from storage.engine import build_engine, reading, writing
from storage.errors import NotAllowed, RankloopError
from storage.tables import Account, Project, Role
from tests.labeling.deeds import (
    ALSO,
    DEEDS,
    EXPLAINED,
    arguments,
    function_named,
    functions_with_somebody,
)
from tests.labeling.stage import Stage, set_stage

#: written out by hand: what each role may do in its project, and nothing else
MAY = {
    "annotator": "judge",
    "lead": "judge see_quality request_round roll_back manage_prompts change_labeling review "
    "import export withdraw manage_webhooks invite",
    "engineer": "judge see_quality request_round roll_back manage_prompts change_labeling review "
    "import export manage_webhooks",
    "admin": "judge see_quality request_round roll_back manage_prompts change_labeling review "
    "import export withdraw manage_webhooks invite manage_accounts see_audit",
}
NOTHING = ""
HERE, ELSEWHERE = "1", "2"


@dataclass(frozen=True)
class Case:
    """An account, and what it may do."""

    account: dict[str, Any]
    may: str
    narrowed: tuple[str, ...] = ()


def _case(role: str, may: str, narrowed: tuple[str, ...] = (), **fields: Any) -> Case:
    return Case({"role": Role(role), **fields}, may, narrowed)


CASES = {
    **{role: _case(role, may) for role, may in MAY.items()},
    "annotator, lead here": _case("annotator", MAY["lead"], project_roles={HERE: "lead"}),
    "annotator, admin here": _case(
        "annotator",
        MAY["admin"].removesuffix(" manage_accounts see_audit"),
        project_roles={HERE: "admin"},
    ),
    "lead elsewhere": _case("annotator", MAY["annotator"], project_roles={ELSEWHERE: "lead"}),
    "lead, annotator here": _case("lead", MAY["annotator"], project_roles={HERE: "annotator"}),
    "lead without business here": _case("lead", NOTHING, project_roles={HERE: ""}),
    "lead elsewhere alone": _case("annotator", NOTHING, project_roles={"*": "", ELSEWHERE: "lead"}),
    "admin without business here": _case(
        "admin", "manage_accounts see_audit", project_roles={HERE: ""}
    ),
    "admin switched off": _case("admin", NOTHING, active=False),
    "admin who came with an import": _case("admin", NOTHING, imported_from="file"),
    "admin who was erased": _case("admin", NOTHING, erased_at=now()),
    "admin by a narrow token": _case(
        "admin", "export see_quality", narrowed=("export", "see_quality")
    ),
    "annotator by a token of more": _case(
        "annotator", "judge", narrowed=("judge", "export", "manage_accounts")
    ),
}


class _Undo(Exception):
    """End a transaction without keeping anything of it."""


@dataclass
class Scene:
    """A project with work in it, for everybody of `CASES`."""

    stage: Stage
    folder: Path
    people: dict[str, int]
    own: dict[str, tuple[int, int, int]]
    staged: tuple[StagedFile, StagedFile]
    prompts: StagedPrompts
    measured: dict[str, Any]
    tried: Iterator[int]

    def try_it(self, name: str, actor: str | None) -> bool:
        """Let somebody try; say whether they were let through."""
        function = function_named(name)
        narrowed = CASES[actor].narrowed if actor else ()
        with narrowed_to(narrowed) if narrowed else nullcontext():
            try:
                with writing(self.stage.engine) as session:
                    values = self._values(session, name, actor)
                    who = session.get_one(Account, self.people[actor]) if actor else None
                    given = arguments(function, values, who)
                    if "engine" not in given:
                        _all_of(function(**given))
                        raise _Undo
                # It opens transactions of its own.
                _all_of(function(**given))
            except NotAllowed:
                return False
            except (RankloopError, _Undo):
                # Whatever else does not fit, permission was given.
                return True
        return True

    def _values(self, session: Session, name: str, actor: str | None) -> dict[str, Any]:
        lent, judged, judgment = self.own[actor or "admin"]
        task = next(iter(self.own.values()))[1]
        number = next(self.tried)
        file = self.folder / f"{number}.jsonl"
        file.write_text('{"prompt": "Who may?", "completion": "You."}\n')
        project_id = self.stage.project_id
        return {
            "session": session,
            "engine": self.stage.engine,
            "project": session.get_one(Project, project_id),
            "project_id": project_id,
            # Where somebody else is asked for beside who asks, it is nobody of the cases.
            "account": session.get_one(Account, self.people["somebody"]),
            "account_id": self.people["somebody"],
            "assignment_id": judged if "reopen" in name else lent,
            "judgment_id": judgment,
            "task_id": task,
            "prompt_id": 1,
            "ranks": [1, 2],
            "milliseconds": 1,
            "minutes": 5.0,
            "nonce": f"n{number}",
            "draft": {"a": 1},
            "reason": "because",
            "comment": "because",
            "text": "Some text.",
            "answer": "",
            "place": 0,
            "flags": ["other"],
            "heldout_share": 0.0,
            "path": file,
            "prompts": self.prompts,
            "known": KnownAnswerFile("known.jsonl", []),
            "staged": self.staged["completions" in name],
            "home": self.folder,
            "folder": self.folder / "snapshots",
            "out": self.folder / f"out {number}",
            "code_version": "1",
            "name": f"n{number}",
            "endpoint": Endpoint(url="https://example.org/v1", model="m"),
            "active": False,
            "since": 0,
            "most": 5,
            "section": "page",
            "values": {},
            "token_id": 1,
            "role": Role.ANNOTATOR,
            "hours": 1.0,
            "invitation_id": 1,
            "judgments": "keep",
            "texts": True,
            "version": 1,
            "places": numpy.arange(1),
            "by": "week",
            "first": 1,
            "second": 1,
            "url": "https://example.org/hook",
            "kinds": ["judgment.stored"],
            "secret_env": "HOOK_SECRET",
            "private": False,
            "webhook_id": 1,
            "scope": Scope(annotator_id=self.people["somebody"]),
            "withdrawal_id": 1,
            "pool": "p",
            "choice": TaskChoice(ids=[task]),
            **self.measured,
        }


def _all_of(found: object) -> None:
    """Go through a generator: it asks when it is begun."""
    if isinstance(found, Iterator):
        list(found)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("scene")
    (folder / "rankloop.db").write_bytes(sqlite_template.read_bytes())
    engine = build_engine(f"sqlite:///{folder / 'rankloop.db'}")
    with writing(engine) as session:
        project = Project(id=int(HERE), name="default", completions_per_task=2, overlap=99)
        session.add(project)
        session.add(Project(id=int(ELSEWHERE), name="other"))
    stage = set_stage(engine, project, overlap=99)
    with writing(engine) as session:
        here = session.get_one(Project, int(HERE))
        change_labeling(
            session, project=here, by=None, section="page",
            values={"own_prompts": True, "rewrites": True},
        )  # fmt: skip
    for text in ("one", "two"):
        stage.add_task(text, k=2)
    with _staged(folder) as staged, StagedPrompts("prompts.jsonl") as prompts:
        yield _peopled(stage, folder, staged, prompts)
    engine.dispose()


@contextmanager
def _staged(folder: Path) -> Iterator[tuple[StagedFile, StagedFile]]:
    """Yield a file of preferences and one of completions, as they are staged for an import."""
    pairs, texts = folder / "pairs.jsonl", folder / "texts.jsonl"
    pairs.write_text('{"prompt": "Why?", "chosen": "So.", "rejected": "No."}\n')
    texts.write_text("".join(f'{{"prompt": "Why?", "completion": "{n}"}}\n' for n in range(2)))
    with staged_file(pairs, format="trl_preference") as preferences, Staging() as staging:
        yield preferences, stage_completions(staging, texts)


def _peopled(
    stage: Stage, folder: Path, staged: tuple[StagedFile, StagedFile], prompts: StagedPrompts
) -> Scene:
    """Let everybody judge one task and hold another, and only then become what they are."""
    people, own = {}, {}
    for name in (*CASES, "somebody", "last admin"):
        people[name] = stage.account(name, Role.ADMIN)
        judged = stage.lend(name)
        result = stage.submit(name, judged, [1, 2], name)
        own[name] = (stage.lend(name).assignment_id, judged.task_id, result.judgment_id or 0)
    with writing(stage.engine) as session:
        session.get_one(Account, people["somebody"]).role = Role.ANNOTATOR
        for name, case in CASES.items():
            account = session.get_one(Account, people[name])
            for field, value in case.account.items():
                setattr(account, field, value)
        here = session.get_one(Project, stage.project_id)
        invite(session, role=Role.ANNOTATOR, hours=1, by=None, project=here)
    with reading(stage.engine) as session:
        measured = {
            "columns": judgment_columns(session, project_id=stage.project_id),
            "loop": loop_state(session, project_id=stage.project_id, judgments_per_round=9),
        }
    return Scene(stage, folder, people, own, staged, prompts, measured, count())


@pytest.mark.parametrize("name", sorted(DEEDS))
def test_exactly_those_who_may_are_let_through(scene: Scene, name: str) -> None:
    allowed = {who for who in CASES if scene.try_it(name, who)}
    wanted = {str(DEEDS[name]), str(ALSO.get(name, DEEDS[name]))}
    assert allowed == {who for who, case in CASES.items() if wanted & set(case.may.split())}


def test_every_action_has_a_deed() -> None:
    assert set(DEEDS.values()) == set(Action)
    assert {word for may in MAY.values() for word in may.split()} == set(map(str, Action))


def test_every_function_that_is_told_who_asks_is_tried_or_explained() -> None:
    found = functions_with_somebody()
    assert found - set(DEEDS) - set(EXPLAINED) == set(), "put it into DEEDS or EXPLAINED"
    assert (set(DEEDS) | set(EXPLAINED)) - found == set(), "it is gone"


def test_nobody_is_asked_at_the_shell(scene: Scene) -> None:
    import inspect

    for name in sorted(DEEDS):
        parameters = inspect.signature(function_named(name)).parameters
        who = next((parameters[one] for one in ("by", "account") if one in parameters), None)
        if who is not None and "None" in str(who.annotation):
            assert scene.try_it(name, None), name


def test_a_role_that_was_taken_away_holds_at_once(scene: Scene) -> None:
    name, lead = "work_queue.assignment.next_assignment", "lead"
    assert scene.try_it(name, lead)
    with writing(scene.stage.engine) as session:
        account = session.get_one(Account, scene.people[lead])
        account.project_roles = {HERE: ""}
    try:
        assert not scene.try_it(name, lead)
    finally:
        with writing(scene.stage.engine) as session:
            session.get_one(Account, scene.people[lead]).project_roles = {}
    with reading(scene.stage.engine) as session:
        assert session.get_one(Account, scene.people[lead]).project_roles == {}
