"""A policy behind a real OpenAI-compatible server: `transformers serve` with a tiny model."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from labeling.endpoint_policies import Endpoint
from reward.generation.endpoint_client import EndpointAnswer, EndpointClient
from storage.errors import BadInput
from tests.tiny_model import make_tiny_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]
ASK = [{"role": "user", "content": "Why is the sky blue?"}]
STARTS_WITHIN = 300  # seconds


@dataclass(frozen=True)
class Served:
    url: str
    model: str


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("serve")
    model = make_tiny_model(folder / "tiny")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("transformers")), "serve", str(model)]
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(folder / "none"), "CUDA_VISIBLE_DEVICES": ""}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)],
            env=os.environ | offline, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait(f"http://127.0.0.1:{port}/health", server, folder / "log")
            yield Served(f"http://127.0.0.1:{port}/v1", str(model))
        finally:
            server.terminate()
            server.wait(30)


def _wait(url: str, server: "subprocess.Popen[bytes]", log: Path) -> None:
    until = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < until:
        assert server.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, TimeoutError, ConnectionError):
            time.sleep(0.2)
    raise AssertionError(log.read_text())


def ask(served: Served, **given: object) -> EndpointAnswer:
    values = {"url": served.url, "model": served.model, "timeout": 60.0, "attempts": 1}
    client = EndpointClient(Endpoint(**(values | given)), "far")  # type: ignore[arg-type]
    return client.answer(ASK, max_tokens=12, temperature=1.0, top_p=1.0, seed=3)


def test_it_answers_and_its_tokens_are_counted_and_paid(served: Served) -> None:
    found = ask(served, price_in=2.0, price_out=8.0)
    assert found.text and found.finish_reason in ("stop", "length")
    used = found.usage
    assert used.requests == 1 and used.unmetered == 0 and used.failed == 0
    assert 1 <= used.completion_tokens <= 12
    assert used.prompt_tokens > len(ASK[0]["content"]), "the template's tokens are paid, too"
    expected = (used.prompt_tokens * 2.0 + used.completion_tokens * 8.0) / 1_000_000
    assert used.cost == pytest.approx(expected)


def test_fields_of_the_body_reach_it(served: Served) -> None:
    assert ask(served, body={"max_tokens": 3}).usage.completion_tokens <= 3


def test_a_model_that_it_has_not_is_told(served: Served) -> None:
    with pytest.raises(BadInput, match=r"far refuses the request \(HTTP 400.*check its .* model"):
        ask(served, model="nobody/nothing")
