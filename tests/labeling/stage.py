"""Set the stage: prompts, a policy, tasks and accounts in a fresh database."""

from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlmodel import Session

from labeling.accounts import create_account
from labeling.imports.prompts import content_sha256
from labeling.judging.judgments import Submission, submit_judgment
from labeling.labeling_settings import change_labeling
from labeling.work_queue.assignment import AssignedTask, next_assignment
from labeling.work_queue.tasks import NewCompletion, add_task
from storage.engine import writing
from storage.tables import Account, Policy, PolicyStatus, Project, Prompt, Role, Split


@dataclass
class Stage:
    """A project with a live policy and tasks of K completions, texts "P.0" … "P.K-1"."""

    engine: Engine
    project: Project
    policy: Policy
    accounts: dict[str, Account] = field(default_factory=dict)

    @property
    def project_id(self) -> int:
        assert self.project.id is not None
        return self.project.id

    def account(self, name: str, role: Role = Role.ANNOTATOR) -> int:
        if name not in self.accounts:
            with writing(self.engine) as session:
                self.accounts[name] = create_account(session, name=name, role=role)
        found = self.accounts[name].id
        assert found is not None
        return found

    def change(self, section: str, **values: object) -> None:
        with writing(self.engine) as session:
            project = session.get_one(Project, self.project_id)
            change_labeling(session, project=project, by=None, section=section, values=values)

    def add_prompt(self, text: str, split: Split = Split.TRAIN) -> int:
        messages = [{"role": "user", "content": text}]
        with writing(self.engine) as session:
            prompt = Prompt(
                project_id=self.project_id,
                messages=messages,
                content_sha256=content_sha256(messages),
                split=split,
            )
            session.add(prompt)
        assert prompt.id is not None
        return prompt.id

    def add_task(self, text: str, k: int = 4, split: Split = Split.TRAIN, priority: int = 0) -> int:
        prompt_id = self.add_prompt(text, split)
        with writing(self.engine) as session:
            task = add_task(
                session,
                project=self.project,
                prompt_id=prompt_id,
                policy_id=self.policy.id or 0,
                completions=[
                    NewCompletion(f"{text}.{position}", {"temperature": 1.0}, position, "stop", 2)
                    for position in range(k)
                ],
                priority=priority,
            )
        assert task.id is not None
        return task.id

    def next(self, name: str, minutes: float = 5) -> AssignedTask | None:
        annotator_id = self.account(name)
        with writing(self.engine) as session:
            return next_assignment(
                session, project_id=self.project_id, annotator_id=annotator_id, minutes=minutes
            )

    def lend(self, name: str, minutes: float = 5) -> AssignedTask:
        task = self.next(name, minutes)
        assert task is not None
        return task

    def submit(self, name: str, task: AssignedTask, ranks: list[int], nonce: str) -> Submission:
        annotator_id = self.account(name)
        with writing(self.engine) as session:
            return submit_judgment(
                session,
                assignment_id=task.assignment_id,
                annotator_id=annotator_id,
                ranks=ranks,
                milliseconds=1200,
                nonce=nonce,
                rationale="clear",
            )

    def judge(self, name: str, ranks: list[int]) -> Submission:
        task = self.lend(name)
        return self.submit(name, task, ranks, f"{name}-{task.task_id}")


def set_stage(engine: Engine, project: Project, overlap: int = 1) -> Stage:
    with writing(engine) as session:
        project = session.merge(project)
        project.overlap = overlap
        policy = _live_policy(session, project)
    return Stage(engine, project, policy)


def _live_policy(session: Session, project: Project) -> Policy:
    policy = Policy(project_id=project.id or 0, version=1, status=PolicyStatus.LIVE)
    session.add(policy)
    session.flush()
    return policy
