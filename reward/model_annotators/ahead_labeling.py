"""The worker's model annotators: which are switched on, what they judge, and when they rest."""

import logging
import time
from collections.abc import Callable, Iterator

from sqlmodel import Session

from labeling.judging.judgments import count_judgments
from labeling.keys import key_of
from labeling.labeling_sections import ModelAnnotatorSettings
from labeling.labeling_settings import labeling_settings
from labeling.model_annotators.model_judgments import (
    Mark,
    TaskToJudge,
    judged_by_people,
    model_account,
    store_model_judgment,
    tasks_to_judge,
)
from reward.model_annotators.model_annotator import (
    LikelihoodJudge,
    ModelAnnotator,
    RewardModelAnnotator,
    calibrate_on_people,
    label_of,
)
from reward.model_annotators.server_judge import ServerJudge
from reward.policy_optimization.live_reward import LiveRewards
from reward.reward_modeling.pair_calibration import PairCalibration
from reward.running.lease import LeaseLost
from reward.running.runtime import Runtime
from storage.engine import reading, writing
from storage.errors import RankloopError
from storage.tables import Account, Project

log = logging.getLogger(__name__)

LIKELIHOOD = "likelihood"
REST_SECONDS = 300.0  # of a judge that could not be asked

# Who judges, and what decides how: a lead may change the model or what it is told under one name.
Asked = tuple[str, str, str, str]


class AheadLabeling:
    """Has the models that a project switched on judge ready tasks, a few at a time."""

    def __init__(
        self,
        runtime: Runtime,
        rewards: LiveRewards,
        *,
        fence: Callable[[Session], None] = lambda session: None,
        working: Callable[[str], None] = lambda words: None,
    ) -> None:
        """Load nothing until a model is switched on.

        `fence` comes first in every write; `working` hears in words what goes on.
        """
        self.runtime = runtime
        self.rewards = rewards
        self.fence = fence
        self.working = working
        self._rests_until: dict[str, float] = {}
        self._calibrated: dict[Asked, tuple[int, PairCalibration | None]] = {}
        self._unreadable: set[tuple[Asked, int]] = set()

    def label_some(self) -> int:
        """Let every model judge a few tasks; return how many judgments were stored.

        A model that cannot judge now says so in the log and rests; nothing else stops.
        """
        settings = self._settings()
        stored = 0
        for annotator in self._annotators(settings):
            try:
                stored += self._label(annotator, settings)
            except LeaseLost:
                raise
            except RankloopError as error:
                log.warning("%s judges nothing for a while: %s", annotator.name, error)
                self._rests_until[annotator.name] = time.monotonic() + REST_SECONDS
        return stored

    def _settings(self) -> ModelAnnotatorSettings:
        # Read anew: a lead may have changed it since this process began.
        with reading(self.runtime.engine) as session:
            project = session.get_one(Project, self.runtime.project_id)
            return labeling_settings(project).model_annotators

    def _annotators(self, settings: ModelAnnotatorSettings) -> Iterator[ModelAnnotator]:
        found: list[ModelAnnotator] = []
        live = self.rewards.newest() if settings.reward_model else None
        if live is not None:
            found.append(RewardModelAnnotator(self.runtime, live))
        if settings.judge == LIKELIHOOD:
            found.append(LikelihoodJudge(self.runtime, settings))
        elif settings.judge:
            found.append(ServerJudge(settings))
        for one in found:
            if time.monotonic() >= self._rests_until.get(one.name, 0.0):
                yield one

    def _label(self, annotator: ModelAnnotator, settings: ModelAnnotatorSettings) -> int:
        with writing(self.runtime.engine) as session:
            self.fence(session)
            account = model_account(session, name=annotator.name)
        with reading(self.runtime.engine) as session:
            found = tasks_to_judge(
                session,
                project_id=self.runtime.project_id,
                annotator_id=key_of(account),
                limit=settings.tasks_at_once + len(self._unreadable),
                since=annotator.since,
            )
        asked = _asked(annotator, settings)
        tasks = [one for one in found if (asked, one.task_id) not in self._unreadable]
        if not tasks:
            return 0
        calibration = self._calibration(annotator, settings)
        marks = [
            self._judge(annotator, account, one, calibration, settings)
            for one in tasks[: settings.tasks_at_once]
        ]
        stored = [mark for mark in marks if mark is not None]
        taken = sum(mark is Mark.TAKEN for mark in stored)
        log.info("%s judged %d tasks and took %d.", annotator.name, len(stored), taken)
        return len(stored)

    def _judge(
        self,
        annotator: ModelAnnotator,
        account: Account,
        task: TaskToJudge,
        calibration: PairCalibration | None,
        settings: ModelAnnotatorSettings,
    ) -> Mark | None:
        self.working(f"{annotator.name} judges tasks ahead of people")
        margins = annotator.margins(task)
        if margins is None:
            self._unreadable.add((_asked(annotator, settings), task.task_id))
            return None
        with writing(self.runtime.engine) as session:
            self.fence(session)
            return store_model_judgment(
                session,
                task_id=task.task_id,
                account=account,
                label=label_of(margins, calibration),
                settings=settings,
            )

    def _calibration(
        self, annotator: ModelAnnotator, settings: ModelAnnotatorSettings
    ) -> PairCalibration | None:
        """Return what is known of the model on enough pairs that it did not learn from."""
        if isinstance(annotator, RewardModelAnnotator):
            found = annotator.calibration
        else:
            found = self._on_people(annotator, settings)
        return found if found is not None and found.pairs >= settings.calibration_pairs else None

    def _on_people(
        self, annotator: ModelAnnotator, settings: ModelAnnotatorSettings
    ) -> PairCalibration | None:
        """Calibrate a judge on the newest judgments, anew whenever there are twice as many."""
        with reading(self.runtime.engine) as session:
            count = count_judgments(session, project_id=self.runtime.project_id)
            known = self._calibrated.get(_asked(annotator, settings))
            if known is not None and count < 2 * max(known[0], 1):
                return known[1]
            judged = judged_by_people(
                session,
                project_id=self.runtime.project_id,
                limit=settings.calibration_judgments,
            )
        found = calibrate_on_people(annotator, judged)
        self._calibrated[_asked(annotator, settings)] = (count, found)
        return found


def _asked(annotator: ModelAnnotator, settings: ModelAnnotatorSettings) -> Asked:
    return annotator.name, settings.judge, settings.judge_model, settings.judge_instruction
