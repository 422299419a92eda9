"""Several servers asked as one: what they draw, who is left out, and how policies get to them."""

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from reward.generation.completion_fleet import CompletionFleet, completion_servers
from reward.generation.completion_server import CompletionServer, ServerSettings
from reward.generation.pool import fill_pool
from reward.generation.sampling import SamplingSettings
from reward.generation.server_generator import ServerGenerator, adapter_name, served_policy
from reward.language_models.backbone import Backbone, load_backbone
from storage.engine import build_engine
from storage.errors import BadInput, Unavailable
from storage.settings import Settings, load_settings
from tests.reward.completion_server import Served, serving

SAMPLING = SamplingSettings(max_new_tokens=4)
PROMPTS = [[5 + i, 6, 7 + i] for i in range(12)]
QUICK = ServerSettings(
    pause_seconds=0.01, attempts=3, timeout_seconds=20.0, requests_at_once=2, left_out_seconds=60.0
)


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def _own_backbone(tiny_folder: Path) -> Backbone:
    return load_backbone(
        tiny_folder, device=torch.device("cpu"), dtype=torch.float32, top_layers=2, rank=4
    )


@pytest.fixture(scope="module")
def _running(tiny_folder: Path) -> Iterator[list[Served]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving(_own_backbone(tiny_folder))) for _ in range(3)]


@pytest.fixture
def servers(_running: list[Served]) -> list[Served]:
    """Return three servers, each with a model of its own, as if just started."""
    for one in _running:
        one.model, one.delay = "tiny", 0.0
        for heard in (one.adapters, one.requests, one.faults):
            heard.clear()
    return _running


@pytest.fixture
def policy(backbone: Backbone, tmp_path: Path) -> Path:
    """Return the folder of a policy that is not the bare model."""
    backbone.add_adapter("policy")
    with torch.no_grad():
        for weight in backbone.parameters("policy"):
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    backbone.save_adapter("policy", tmp_path / "policy")
    return tmp_path / "policy"


def _fleet(servers: list[Served], **changes: float) -> CompletionFleet:
    return CompletionFleet([one.url for one in servers], replace(QUICK, **changes))


def _draw(
    server: CompletionFleet | CompletionServer, backbone: Backbone, folder: Path | None = None
) -> list[list[int]]:
    with served_policy(server, backbone, folder) as generator:
        return [one.ids for one in generator.generate(PROMPTS, SAMPLING, seed=3)]


def _completions(served: Served) -> int:
    return sum(path == "/v1/completions" for path, _ in served.requests)


def test_a_fleet_draws_what_one_server_draws(
    servers: list[Served], backbone: Backbone, policy: Path
) -> None:
    for folder in (None, policy):
        expected = _draw(CompletionServer(servers[0].url, QUICK), backbone, folder)
        before = [_completions(one) for one in servers]
        assert _draw(_fleet(servers), backbone, folder) == expected
        asked = [_completions(one) - was for one, was in zip(servers, before, strict=True)]
        assert sum(asked) == len(PROMPTS) and min(asked) >= 1
    assert [one.adapters for one in servers] == [[], [], []]


def test_a_server_that_fails_is_left_out_and_tried_again_later(
    servers: list[Served], backbone: Backbone
) -> None:
    fleet = _fleet(servers)
    expected = _draw(fleet, backbone)
    servers[1].faults = [(500, "CUDA error")]
    assert _draw(fleet, backbone) == expected
    assert fleet.members[1].failures == 1
    failed_at = _completions(servers[1])
    assert _draw(fleet, backbone) == expected
    assert _completions(servers[1]) == failed_at
    fleet.members[1].out_until = time.monotonic()
    assert _draw(fleet, backbone) == expected
    assert _completions(servers[1]) > failed_at
    assert fleet.members[1].failures == 0


def test_the_pause_of_a_failing_server_doubles(servers: list[Served], backbone: Backbone) -> None:
    fleet = _fleet(servers[:2], left_out_seconds=50.0)
    pauses = []
    for failures in range(4):
        fleet.members[0].out_until = 0.0
        fleet.members[0].failures = failures
        fleet._leave_out(fleet.members[0], Unavailable("It failed."))
        pauses.append(round(fleet.members[0].out_until - time.monotonic()))
    assert pauses == [50, 100, 200, 300]


@pytest.mark.slow
def test_a_server_that_died_is_left_out(tiny_folder: Path, backbone: Backbone) -> None:
    with serving(_own_backbone(tiny_folder)) as lasting:
        with serving(_own_backbone(tiny_folder)) as dying:
            fleet = _fleet([lasting, dying])
            expected = _draw(fleet, backbone)
            assert min(_completions(lasting), _completions(dying)) >= 1
        assert _draw(fleet, backbone) == expected
        assert _completions(lasting) > len(PROMPTS)


def test_a_slow_server_gets_less_and_one_that_hangs_nothing(
    servers: list[Served], backbone: Backbone
) -> None:
    expected = _draw(_fleet(servers), backbone)
    for one in servers:
        one.requests.clear()
    fleet = _fleet(servers)
    fleet.base_model()
    servers[0].delay = 1.0
    drawn = ServerGenerator(fleet, "tiny", backbone).generate(PROMPTS, SAMPLING, seed=3)
    assert [one.ids for one in drawn] == expected
    assert _completions(servers[0]) < min(_completions(one) for one in servers[1:])
    servers[0].delay = 3.0
    hasty = _fleet(servers, timeout_seconds=1.0)
    began = time.monotonic()
    assert _draw(hasty, backbone) == expected
    assert time.monotonic() - began < 12
    assert hasty.members[0].failures >= 1


def test_a_server_started_anew_gets_the_policy_again(
    servers: list[Served], backbone: Backbone, policy: Path
) -> None:
    fleet = _fleet(servers[:1])
    with served_policy(fleet, backbone, policy) as generator:
        expected = generator.generate(PROMPTS[:2], SAMPLING, seed=3)
        servers[0].adapters.clear()
        assert generator.generate(PROMPTS[:2], SAMPLING, seed=3) == expected
    loads = [path for path, _ in servers[0].requests if path == "/v1/load_lora_adapter"]
    assert len(loads) == 2


def test_a_server_without_the_policys_folder_is_left_out(
    servers: list[Served], backbone: Backbone, policy: Path
) -> None:
    servers[2].faults = [(404, "No adapter found.")]
    found = _draw(_fleet(servers), backbone, policy)
    assert found == _draw(CompletionServer(servers[0].url, QUICK), backbone, policy)
    assert _completions(servers[2]) == 0


def test_servers_of_different_models_are_named(servers: list[Served]) -> None:
    servers[1].model = "other"
    with pytest.raises(BadInput, match=r"different models \('tiny' at http.*'other' at http"):
        _fleet(servers).base_model()


def test_a_request_that_is_wrong_goes_to_one_server(
    servers: list[Served], backbone: Backbone
) -> None:
    fleet = _fleet(servers)
    fleet.base_model()
    for one in servers:
        one.faults = [(400, "too long for the context")]
    with pytest.raises(Unavailable, match="HTTP 400: too long"):
        ServerGenerator(fleet, "tiny", backbone).generate(PROMPTS[:1], SAMPLING, seed=0)
    assert sum(len(one.faults) for one in servers) == 2


def test_no_server_at_all_is_one_sentence(tiny_folder: Path, backbone: Backbone) -> None:
    with serving(_own_backbone(tiny_folder)) as gone:
        fleet = _fleet([gone])
        fleet.base_model()
    with pytest.raises(Unavailable, match=r"cannot be reached.*\.$"):
        ServerGenerator(fleet, "tiny", backbone).generate(PROMPTS[:1], SAMPLING, seed=0)
    with pytest.raises(Unavailable, match=r"None of the 1 servers"):
        fleet.complete({"model": "tiny"})


PUBLISH = """
import json, sys, urllib.request
url, name, folder = sys.argv[1:]
body = json.dumps({"lora_name": name, "lora_path": folder}).encode()
urllib.request.urlopen(urllib.request.Request(f"{url}/v1/load_lora_adapter", data=body))
"""


def _publishing(servers: list[Served], command: str) -> Settings:
    urls = ", ".join(one.url for one in servers)
    return load_settings(home="/tmp", generator=urls, publish_command=command)


def test_a_command_makes_each_server_serve_the_policy_once(
    servers: list[Served], backbone: Backbone, policy: Path, tmp_path: Path
) -> None:
    script = tmp_path / "publish.py"
    script.write_text(PUBLISH)
    command = f"{sys.executable} {script} {{url}} {{name}} {{folder}}"
    fleet = completion_servers(_publishing(servers[:2], command))
    expected = _draw(CompletionServer(servers[0].url, QUICK), backbone, policy)
    for _ in range(2):
        assert _draw(fleet, backbone, policy) == expected
    for one in servers[:2]:
        assert one.adapters == [adapter_name(policy)]
    loads = [path for path, _ in servers[1].requests if path == "/v1/load_lora_adapter"]
    assert len(loads) == 1


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("sh -c 'echo no room >&2; exit 3' {name}", "exit code 3 for http.*: no room"),
        ("true {name}", "does not list rankloop-policy"),
        ("true {names}", "there are {url}, {name}, {folder}"),
        ("true", "does not name {name}"),
    ],
)
def test_a_command_that_does_not_is_one_sentence(
    servers: list[Served], backbone: Backbone, policy: Path, command: str, words: str
) -> None:
    with pytest.raises((Unavailable, BadInput), match=words):
        _draw(completion_servers(_publishing(servers[:1], command)), backbone, policy)


@pytest.mark.slow
def test_tasks_come_from_the_servers_that_the_setting_names(
    servers: list[Served], judged: Settings
) -> None:
    urls = f"{servers[0].url}/v1, {servers[1].url}"
    settings = judged.model_copy(update={"generator": urls, "generator_requests": 1})
    wanted = settings.pool_tasks + 2
    assert fill_pool(build_engine(settings.url), settings, wanted=wanted) >= 2
    assert all(_completions(one) for one in servers[:2])
