"""A round whose files are on an object store, begun on one machine and ended on another."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch
from sqlmodel import select

from reward.generation.pool import PoolFiller
from reward.running.loop import STEPS, Loop
from reward.running.runtime import Runtime
from reward.steps.outcome import StepContext, StepOutcome
from reward.training.progress_checkpoint import load_progress, save_progress
from storage.blobs import verify
from storage.engine import build_engine, reading
from storage.settings import Settings
from storage.tables import Policy, Round, RoundState, Snapshot
from tests.object_stores import s3_server
from tests.reward.held_lease import held_lease


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    with s3_server() as uri:
        yield uri


class _PowerCut(BaseException):
    """Ends everything, as a killed machine does."""


def _loop(settings: Settings) -> Loop:
    runtime = Runtime(build_engine(settings.url), settings)
    return Loop(runtime, held_lease(runtime), PoolFiller(runtime))


def _watch_ppo(monkeypatch: pytest.MonkeyPatch, *, cut_at: int = 0) -> list[int]:
    """Note PPO's iterations; cut the power at one of them."""
    seen: list[int] = []
    real = STEPS[RoundState.PPO]

    def watched(context: StepContext) -> StepOutcome:
        def report(step: int, steps: int, metrics: Mapping[str, float]) -> None:
            seen.append(step)
            if step == cut_at:
                raise _PowerCut
            context.report(step, steps, metrics)

        return real(replace(context, report=report))

    monkeypatch.setitem(STEPS, RoundState.PPO, watched)  # type: ignore[arg-type]
    return seen


@pytest.mark.slow
def test_another_machine_goes_on_from_what_is_on_the_store(
    judged: Settings, store: str, tmp_path: Path
) -> None:
    first = judged.model_copy(update={"checkpoint_store": f"{store}/team"})
    with pytest.MonkeyPatch.context() as patch, pytest.raises(_PowerCut):
        _watch_ppo(patch, cut_at=2)
        _loop(first).run_round_if_due()
    # The other machine has the database, and nothing of the first one's home.
    other = tmp_path / "other"
    other.mkdir()
    for file in judged.home.glob("rankloop.db*"):
        shutil.copy(file, other)
    shutil.rmtree(judged.home / "checkpoints", ignore_errors=True)
    with pytest.MonkeyPatch.context() as patch:
        seen = _watch_ppo(patch)
        one = _loop(first.model_copy(update={"home": other})).run_round_if_due()
    assert one is not None and one.state is RoundState.DONE, one
    assert seen == [2]
    with reading(build_engine(f"sqlite:///{other}/rankloop.db")) as session:
        new = session.exec(select(Policy).where(Policy.version == 2)).one()
        snapshot = session.exec(select(Snapshot)).one()
        artefacts = session.exec(select(Round.artefacts)).one()
    uris = [new.checkpoint_uri, snapshot.uri, artefacts["reward"], artefacts["second_reward"]]
    for uri in uris:
        assert uri.startswith(f"{store}/team/")
        verify(other, uri)
    # Progress is removed with the step that it was of.
    assert not fsspec.filesystem("s3").exists(artefacts["progress"])


def test_progress_on_a_store_survives_a_cut_while_it_is_replaced(
    tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    uri = f"{store}/progress"
    assert load_progress(tmp_path, uri, "ppo") is None
    for step in (1, 2, 3):
        save_progress(tmp_path, uri, "ppo", {"w": torch.full((2,), float(step))}, {"step": step})
        tensors, state = load_progress(tmp_path / "other", uri, "ppo") or ({}, {})
        assert (state, tensors["w"].tolist()) == ({"step": step}, [step, step])

    def cut(local: str, remote: str, **given: object) -> None:
        raise _PowerCut

    with monkeypatch.context() as patch:
        patch.setattr(fsspec.filesystem("s3", use_listings_cache=False), "put_file", cut)
        with pytest.raises(_PowerCut):
            save_progress(tmp_path, uri, "ppo", {"w": torch.zeros(2)}, {"step": 4})
    found = load_progress(tmp_path / "other", uri, "ppo")
    assert found is not None and found[1] == {"step": 3}
    # The newer one damaged: the older one counts.
    (newest,) = [
        slot for slot in (0, 1) if fsspec.filesystem("s3").exists(f"{uri}/ppo-{slot}/manifest.json")
    ]
    save_progress(tmp_path, uri, "ppo", {"w": torch.zeros(2)}, {"step": 5})
    with fsspec.open(f"{uri}/ppo-{1 - newest}/state.json", "wb") as stream:
        stream.write(b"{}")
    found = load_progress(tmp_path / "third", uri, "ppo")
    assert found is not None and found[1] == {"step": 3}
