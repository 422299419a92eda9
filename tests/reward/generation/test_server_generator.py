"""Completions from a server: those that the model draws, and one sentence where there are none."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from sqlmodel import func, select

from reward.generation.completion_server import CompletionServer, ServerSettings
from reward.generation.generator import BackboneGenerator
from reward.generation.pool import PoolFiller, fill_pool
from reward.generation.sampling import Sample, SamplingSettings, sample
from reward.generation.server_generator import ServerGenerator, seed_of, served_policy
from reward.language_models.backbone import Backbone, load_backbone
from reward.running.runtime import Runtime
from storage.engine import build_engine, reading
from storage.errors import BadInput, RankloopError, Unavailable
from storage.settings import Settings
from storage.tables import Completion
from tests.reward.completion_server import Served, serving

SAMPLING = SamplingSettings(max_new_tokens=8)
PROMPTS = [[5, 6, 7], [8, 9], [5, 6, 7], [10, 11, 12, 13], [5, 6, 7]]
QUICK = ServerSettings(pause_seconds=0.01, attempts=3)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def served(tiny_folder: Path) -> Iterator[Served]:
    own = load_backbone(
        tiny_folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
    )
    with serving(own) as found:
        yield found


def _generate(served: Served, backbone: Backbone, folder: Path | None = None) -> list[Sample]:
    server = CompletionServer(served.url, QUICK)
    with served_policy(server, backbone, folder) as generator:
        return generator.generate(PROMPTS, SAMPLING, seed=3)


def _expected(backbone: Backbone, adapter: str | None) -> list[list[int]]:
    """Draw what the server should: each distinct prompt once, as often as it is there."""
    first = {tuple(prompt): PROMPTS.index(prompt) for prompt in PROMPTS}
    drawn = {
        prompt: sample(
            backbone,
            adapter,
            [list(prompt)] * PROMPTS.count(list(prompt)),
            SAMPLING,
            seed=seed_of(3, row),
            batch_size=8,
        )
        for prompt, row in first.items()
    }
    return [drawn[tuple(prompt)].pop(0).ids for prompt in PROMPTS]


def test_a_server_draws_what_the_model_draws(served: Served, backbone: Backbone) -> None:
    found = _generate(served, backbone)
    assert [one.ids for one in found] == _expected(backbone, None)
    assert all(one.ended == (one.ids[-1] in backbone.end_tokens) for one in found)
    asked = [body for path, body in served.requests if path == "/v1/completions"]
    assert sorted(body["n"] for body in asked) == [1, 1, 3]
    assert {body["model"] for body in asked} == {"tiny"}


def test_a_checkpoint_is_served_as_it_is_and_unloaded(
    served: Served, backbone: Backbone, tmp_path: Path
) -> None:
    backbone.add_adapter("policy")
    with torch.no_grad():
        for weight in backbone.parameters("policy"):
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    backbone.save_adapter("policy", tmp_path / "policy")
    found = [one.ids for one in _generate(served, backbone, tmp_path / "policy")]
    assert found == _expected(backbone, "policy")
    assert found != _expected(backbone, None)
    assert served.adapters == []


def test_ids_that_a_server_does_not_return_are_those_of_its_text(
    served: Served, backbone: Backbone
) -> None:
    served.returns_ids = False
    texts = []
    answer = served.complete

    def heard(body: dict) -> dict:
        found = answer(body)
        texts.extend(one["text"] for one in found["choices"][::-1])
        return found

    served.complete = heard  # type: ignore[method-assign]
    server = CompletionServer(served.url, QUICK)
    (one,) = ServerGenerator(server, "tiny", backbone).generate([[5, 6, 7]], SAMPLING, seed=3)
    kept = one.ids[:-1] if one.ended else one.ids
    assert len(kept) <= SAMPLING.max_new_tokens
    assert texts[0].startswith(backbone.tokenizer.decode(kept).rstrip("\ufffd"))


@pytest.mark.parametrize("reason", ["length", "stop"])
def test_an_answer_of_no_tokens_is_an_end_token(
    served: Served, backbone: Backbone, reason: str
) -> None:
    choice = {"index": 0, "text": "", "finish_reason": reason, "token_ids": []}
    served.faults = [(200, json.dumps({"choices": [choice]}))]
    server = CompletionServer(served.url, QUICK)
    (one,) = ServerGenerator(server, "tiny", backbone).generate([[5, 6, 7]], SAMPLING, seed=3)
    assert (one.ids, one.ended) == ([backbone.end_tokens[-1]], reason == "stop")


def test_a_busy_server_is_asked_again(served: Served, backbone: Backbone) -> None:
    served.faults = [(503, "starting"), (503, "starting")]
    assert len(_generate(served, backbone)) == len(PROMPTS)


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, "CUDA error", "refused /v1/completions with HTTP 500: CUDA error"),
        (200, "<html>", "not JSON"),
        (200, '{"choices": 3}', "without choices"),
        (200, '{"choices": [{"index": 0}, {"index": 1}]}', "2 completions instead of"),
        (200, '{"choices": [{"finish_reason": "stop"}]}', "without text"),
        (200, "[]", "without choices"),
    ],
)
def test_a_wrong_answer_is_one_sentence(
    served: Served, backbone: Backbone, status: int, body: str, words: str
) -> None:
    served.faults = [(status, body)] * 9
    generator = ServerGenerator(CompletionServer(served.url, QUICK), "tiny", backbone)
    with pytest.raises(Unavailable, match=words) as error:
        generator.generate([[5, 6]], SAMPLING, seed=0)
    assert served.url in str(error.value) and str(error.value).endswith(".")


def test_a_server_that_stays_busy_is_given_up(served: Served) -> None:
    served.faults = [(503, "starting")] * 9
    with pytest.raises(Unavailable, match="HTTP 503: starting"):
        CompletionServer(served.url, QUICK).base_model()
    assert len(served.requests) == QUICK.attempts


def test_no_server_is_one_sentence() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Unavailable, match=r"cannot be reached.*start it"):
        CompletionServer(url, QUICK).base_model()
    with pytest.raises(BadInput, match="neither transformers nor"):
        CompletionServer("vllm", QUICK)


def test_a_server_that_hangs_is_one_sentence() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        settings = ServerSettings(timeout_seconds=0.2)
        with pytest.raises(Unavailable, match="did not answer /v1/models"):
            CompletionServer(url, settings).base_model()


def test_a_policy_that_the_server_does_not_see(
    served: Served, backbone: Backbone, tmp_path: Path
) -> None:
    with pytest.raises(Unavailable, match=r"cannot load the policy .*--enable-lora"):
        _generate(served, backbone, tmp_path / "absent")


def test_tasks_come_from_the_server_that_the_setting_names(
    served: Served, judged: Settings
) -> None:
    settings = judged.model_copy(update={"generator": f"{served.url}/v1"})
    engine = build_engine(settings.url)
    with reading(engine) as session:
        before = session.exec(select(func.count()).select_from(Completion)).one()
    filler = PoolFiller(Runtime(engine, settings))
    assert filler.fill(filler.ready() + 2) == 2
    with reading(engine) as session:
        assert session.exec(select(func.count()).select_from(Completion)).one() >= before + 4
    assert any(path == "/v1/completions" for path, _ in served.requests)


def test_tasks_name_a_generator_that_is_neither(judged: Settings) -> None:
    settings = judged.model_copy(update={"generator": "vllm"})
    with pytest.raises(RankloopError, match="neither transformers nor"):
        fill_pool(build_engine(settings.url), settings, wanted=settings.pool_tasks + 2)


def test_the_backbone_is_a_generator(backbone: Backbone) -> None:
    found = BackboneGenerator(backbone, None, 4).generate(PROMPTS, SAMPLING, seed=1)
    assert found == sample(backbone, None, PROMPTS, SAMPLING, seed=1, batch_size=4)
