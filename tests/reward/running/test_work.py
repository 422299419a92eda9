"""The worker's child: what it says when there is nothing to do, and that it writes fenced."""

import logging

import pytest

from labeling.work_queue.tasks import NO_PROMPT_FITS
from reward.running.lease import LeaseLost, read_lease
from reward.running.runtime import Runtime
from reward.running.work import Work, build_work
from storage.engine import build_engine, reading
from storage.settings import Settings
from tests.reward.held_lease import held_lease


class _Slept(Exception):
    """The worker has paused often enough."""


def _work(settings: Settings, **generation: int) -> Work:
    training = {**settings.training, "generation": generation}
    settings = settings.model_copy(update={"training": training, "judgments_per_round": 1000})
    runtime = Runtime(build_engine(settings.url), settings)
    return build_work(runtime, held_lease(runtime))


def _doing(one: Work) -> str:
    with reading(one.runtime.engine) as session:
        row = read_lease(session, project_id=one.runtime.project_id)
    assert row is not None
    return row.doing


def test_without_a_prompt_that_fits_log_and_lease_say_so_once(
    judged: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise _Slept

    monkeypatch.setattr("reward.running.work.time.sleep", pause)
    one = _work(judged, max_prompt_tokens=1)
    with caplog.at_level(logging.INFO), pytest.raises(_Slept):
        one.forever()
    assert pauses == [judged.worker_poll_seconds] * 3
    assert _doing(one) == NO_PROMPT_FITS
    assert [text for text in caplog.messages if "prompt" in text] == [f"{NO_PROMPT_FITS}."]
    assert not [text for text in caplog.messages if "full" in text]


def test_a_full_pool_is_said_to_be_full(judged: Settings, caplog: pytest.LogCaptureFixture) -> None:
    one = _work(judged.model_copy(update={"pool_tasks": 1}))
    with caplog.at_level(logging.INFO):
        one.once()
    assert caplog.messages[-1] == "The task pool is full; waiting for judgments."
    assert _doing(one) == "waiting for judgments"


def test_the_pool_of_a_lost_lease_adds_nothing(judged: Settings) -> None:
    one = _work(judged)
    ready = one.pool.ready()
    held_lease(one.runtime)
    with pytest.raises(LeaseLost):
        one.pool.add_chunk(1)
    assert one.pool.ready() == ready
