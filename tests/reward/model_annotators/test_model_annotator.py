"""Model annotators on the tiny model: what they say, when they take a task, when they rest."""

import json
from collections.abc import Iterator

import numpy
import pytest
import torch
from sqlmodel import col, func, select

from labeling.labeling_sections import ModelAnnotatorSettings
from labeling.labeling_settings import change_labeling
from labeling.model_annotators.model_judgments import TaskToJudge
from reward.language_models.backbone import Backbone
from reward.model_annotators import ahead_labeling
from reward.model_annotators.ahead_labeling import AheadLabeling
from reward.model_annotators.model_annotator import (
    LikelihoodJudge,
    RewardModelAnnotator,
    calibrate_on_people,
    label_of,
)
from reward.model_annotators.server_judge import ServerJudge
from reward.policy_optimization.live_reward import LiveRewards
from reward.reward_modeling.pair_calibration import PairCalibration
from reward.running.runtime import Runtime
from storage.engine import build_engine, reading, writing
from storage.errors import Unavailable
from storage.settings import Settings
from storage.tables import (
    Account,
    AccountKind,
    Assignment,
    Judgment,
    Project,
    Prompt,
    Split,
    Task,
    TaskStatus,
)
from tests.reward.completion_server import Served, serving
from tests.reward.live_rounds import publish_reward

LINE = PairCalibration((1.0, 3.0), (0.7, 0.95), 100)
QUESTION = [{"role": "user", "content": "Why is the sky blue?"}]
TASK = TaskToJudge(1, QUESTION, ["Air.", "Because of the air in it.", "x y z"], ["stop"] * 3)
#: Every distance above a thousandth of a nat was right 98 times in 98.
CERTAIN = [{"predicted": 0.50025, "observed": 1.0, "count": 98}]


@pytest.fixture
def runtime(judged: Settings) -> Runtime:
    return Runtime(build_engine(judged.url), judged)


@pytest.fixture
def served(backbone: Backbone) -> Iterator[Served]:
    with serving(backbone) as one:
        yield one


def _set(runtime: Runtime, **values: object) -> None:
    with writing(runtime.engine) as session:
        project = session.get_one(Project, runtime.project_id)
        change_labeling(
            session, project=project, by=None, section="model_annotators", values=values
        )


def _by_models(runtime: Runtime) -> list[tuple[Judgment, Assignment, Task, Prompt]]:
    statement = (
        select(Judgment, Assignment, Task, Prompt)
        .join(Account, col(Account.id) == col(Judgment.annotator_id))
        .join(Assignment, col(Assignment.id) == col(Judgment.assignment_id))
        .join(Task, col(Task.id) == col(Judgment.task_id))
        .join(Prompt, col(Prompt.id) == col(Task.prompt_id))
        .where(Account.kind == AccountKind.MODEL)
    )
    with reading(runtime.engine) as session:
        return list(session.exec(statement))


def _ready(runtime: Runtime) -> int:
    with reading(runtime.engine) as session:
        statement = select(func.count()).select_from(Task).where(Task.status == TaskStatus.READY)
        return session.exec(statement).one()


def _label_all(runtime: Runtime) -> None:
    ahead = AheadLabeling(runtime, LiveRewards(runtime))
    while ahead.label_some():
        pass


# -- labels ------------------------------------------------------------------------------------


def test_a_label_is_as_sure_as_its_least_sure_pair() -> None:
    scores = numpy.array([0.0, 3.0, 1.0])
    label = label_of(scores[:, None] - scores[None, :], LINE)
    assert label.ranks == [3, 1, 2]
    # The pairs lie 3, 2 and 1 apart; a distance of 1 is right in 0.7 of cases.
    assert label.confidence == pytest.approx(0.7)


def test_tied_totals_are_tied_ranks_and_a_coin() -> None:
    # A beats B beats C beats A: nobody can be ranked.
    circle = numpy.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    label = label_of(circle, LINE)
    assert (label.ranks, label.confidence) == ([1, 1, 1], 0.5)


def test_without_a_calibration_no_label_is_sure() -> None:
    assert label_of(numpy.array([[0.0, 9.0], [-9.0, 0.0]]), None).confidence == 0.5


# -- the reward model --------------------------------------------------------------------------


def test_nothing_is_judged_where_nothing_is_switched_on(runtime: Runtime) -> None:
    publish_reward(runtime, reliability=CERTAIN)
    assert AheadLabeling(runtime, LiveRewards(runtime)).label_some() == 0
    assert _by_models(runtime) == []


def test_the_reward_model_takes_what_it_is_sure_of_and_leaves_the_audit_to_people(
    runtime: Runtime,
) -> None:
    publish_reward(runtime, reliability=CERTAIN)
    _set(runtime, reward_model=True, audit=0.5)
    before = _ready(runtime)
    _label_all(runtime)
    found = _by_models(runtime)
    marks = [judgment.marks[0] for judgment, *_ in found]
    assert {"taken", "audit"} <= set(marks)
    for judgment, assignment, task, prompt in found:
        assert not assignment.counted
        assert (task.status is TaskStatus.DONE) == (judgment.marks == ["taken"])
        if prompt.split is Split.HELDOUT:
            assert judgment.marks == ["unsure"]
    assert _ready(runtime) == before - marks.count("taken")


def test_its_ranks_follow_the_mean_of_its_heads(runtime: Runtime) -> None:
    publish_reward(runtime, reliability=CERTAIN)
    live = LiveRewards(runtime).newest()
    assert live is not None
    annotator = RewardModelAnnotator(runtime, live)
    raw = live.raw_scores(runtime, TASK.messages, TASK.completions, TASK.finish_reasons)
    margins = annotator.margins(TASK)
    assert raw is not None and margins is not None
    order = numpy.argsort(-raw.mean(0).numpy())
    ranks = label_of(margins, annotator.calibration).ranks
    assert [ranks[position] for position in order] == [1, 2, 3]


def test_a_reward_model_no_better_than_a_coin_takes_nothing(runtime: Runtime) -> None:
    coin = [{"predicted": 0.9, "observed": 0.5, "count": 200}]
    publish_reward(runtime, reliability=coin)
    _set(runtime, reward_model=True)
    _label_all(runtime)
    assert {judgment.marks[0] for judgment, *_ in _by_models(runtime)} == {"unsure"}


def test_too_few_pairs_of_people_calibrate_nothing(runtime: Runtime) -> None:
    publish_reward(runtime, reliability=[{**CERTAIN[0], "count": 29}])
    _set(runtime, reward_model=True, calibration_pairs=30)
    _label_all(runtime)
    assert {judgment.marks[0] for judgment, *_ in _by_models(runtime)} == {"unsure"}


# -- judges ------------------------------------------------------------------------------------


def test_the_likelihood_judge_compares_mean_log_probabilities(runtime: Runtime) -> None:
    settings = ModelAnnotatorSettings(judge_instruction="")
    margins = LikelihoodJudge(runtime, settings).margins(TASK)
    assert margins is not None
    backbone = runtime.backbone
    tokenizer = backbone.tokenizer
    from reward.generation.conversations import answer_ids, prompt_ids

    prompt, means = prompt_ids(tokenizer, QUESTION, ""), []
    for text in TASK.completions:
        answer = answer_ids(tokenizer, text, ended=True, end_token=tokenizer.eos_token_id)
        with torch.no_grad():
            ids = torch.tensor([[*prompt, *answer]])
            logits = backbone.model(ids).logits[0, len(prompt) - 1 : -1]
        means.append(float(logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None]).mean()))
    wanted = numpy.array(means)
    assert margins == pytest.approx(wanted[:, None] - wanted[None, :], abs=1e-4)


def test_a_judge_is_calibrated_on_people_and_judges_what_is_ready(runtime: Runtime) -> None:
    _set(runtime, judge="likelihood", confidence=0.5, audit=0.0)
    _label_all(runtime)
    found = _by_models(runtime)
    assert found
    assert all(judgment.confidence is not None for judgment, *_ in found)
    with reading(runtime.engine) as session:
        names = session.exec(select(Account.name).where(Account.kind == AccountKind.MODEL)).all()
    assert names == ["likelihood judge"]


def test_a_judge_that_is_told_something_else_is_calibrated_anew(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []

    def calibrated(judge: LikelihoodJudge, judged: object) -> None:
        told.append(judge.settings.judge_instruction)

    monkeypatch.setattr(ahead_labeling, "calibrate_on_people", calibrated)
    _set(runtime, judge="likelihood", tasks_at_once=1)
    ahead = AheadLabeling(runtime, LiveRewards(runtime))
    ahead.label_some()
    ahead.label_some()
    _set(runtime, judge_instruction="Answer in verse.")
    ahead.label_some()
    assert told == [ModelAnnotatorSettings().judge_instruction, "Answer in verse."]


def test_calibration_is_of_people_who_agree_or_not(runtime: Runtime) -> None:
    judge = LikelihoodJudge(runtime, ModelAnnotatorSettings())
    margins = judge.margins(TASK)
    assert margins is not None
    own = label_of(margins, None).ranks
    against = [4 - rank for rank in own]
    agreed = calibrate_on_people(judge, [(TASK, [own] * 20)])
    split = calibrate_on_people(judge, [(TASK, [own, against] * 10)])
    assert agreed is not None and split is not None
    assert min(agreed.probabilities) > 0.8
    assert max(split.probabilities) < 0.6


# -- a judge behind a server -------------------------------------------------------------------


def _reply(text: str) -> tuple[int, str]:
    return 200, json.dumps({"choices": [{"index": 0, "message": {"content": text}}]})


def _judge(served: Served) -> ServerJudge:
    return ServerJudge(ModelAnnotatorSettings(judge=served.url, judge_model="judge"))


PAIR = TaskToJudge(1, QUESTION, ["first text", "second text"], ["stop", "stop"])


def test_both_orders_are_asked_and_both_must_agree(served: Served) -> None:
    served.faults = [_reply("B"), _reply(" A.")]
    margins = _judge(served).margins(PAIR)
    assert margins is not None and margins.tolist() == [[0.0, -1.0], [1.0, 0.0]]
    asked = [body["messages"][0]["content"] for _, body in served.requests]
    assert asked[0].index("first text") < asked[0].index("second text")
    assert asked[1].index("second text") < asked[1].index("first text")


def test_a_key_comes_from_the_environment_and_goes_to_the_judge_alone(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = _judge(served)
    monkeypatch.setenv("RANKLOOP_JUDGE_API_KEY", "secret-1")
    served.faults = [_reply("A"), _reply("B")] * 2
    judge.margins(PAIR)
    _judge(served).margins(PAIR)
    assert served.keys == [None, None, "Bearer secret-1", "Bearer secret-1"]
    served.keys.clear()
    served.faults = [(302, f"{served.url}/elsewhere"), (401, "who are you?")]
    with pytest.raises(Unavailable, match="401") as refused:
        _judge(served).margins(PAIR)
    assert served.keys == ["Bearer secret-1", None]
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "replies", [("A", "A"), ("C", "C"), ("A", "I cannot say"), ("A or B", "B"), ("", "B")]
)
def test_disagreement_and_unclear_answers_are_ties(
    served: Served, replies: tuple[str, str]
) -> None:
    served.faults = [_reply(text) for text in replies]
    margins = _judge(served).margins(PAIR)
    assert margins is not None and not margins.any()


@pytest.mark.parametrize("fault", [(500, "broken"), (200, "no JSON"), (200, '{"choices": []}')])
def test_a_server_that_answers_something_else_is_one_sentence(
    served: Served, fault: tuple[int, str]
) -> None:
    served.faults = [fault]
    with pytest.raises(Unavailable, match=served.url):
        _judge(served).margins(PAIR)


def test_a_judge_that_cannot_be_asked_rests_and_stops_nobody(runtime: Runtime) -> None:
    publish_reward(runtime, reliability=CERTAIN)
    _set(runtime, judge="http://127.0.0.1:9", reward_model=True, judge_timeout=1.0)
    ahead = AheadLabeling(runtime, LiveRewards(runtime))
    assert ahead.label_some() > 0
    names = {judgment.annotator_id for judgment, *_ in _by_models(runtime)}
    assert len(names) == 1
