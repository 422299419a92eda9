"""Where the first policy comes from, and what is said where it cannot be had."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from reward.language_models.models import is_local, model_folder
from storage.errors import BadInput, Unavailable
from storage.settings import load_settings


def _folder(tmp_path: Path, model: str) -> str:
    settings = load_settings(home=tmp_path / "home", model=model)
    return model_folder(settings, lambda _what, _share: None)


def _write_model(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"")


@pytest.mark.parametrize(
    ("model", "local"),
    [
        ("embedded:smollm2-135m-instruct", True),
        ("/models/mine", True),
        ("./mine", True),
        ("~/mine", True),
        ("owner/name", False),
    ],
)
def test_which_models_need_a_hub(model: str, local: bool) -> None:
    assert is_local(model) is local


def test_a_local_folder_is_itself(tmp_path: Path) -> None:
    _write_model(tmp_path / "mine")
    assert _folder(tmp_path, str(tmp_path / "mine")) == str(tmp_path / "mine")


def test_a_relative_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    _write_model(tmp_path / "mine")
    assert is_local("mine")
    assert _folder(tmp_path, "mine") == str(tmp_path / "mine")


@pytest.mark.parametrize(
    ("missing", "said"),
    [("config.json", r"has no config\.json"), ("model.safetensors", r"no \.safetensors file")],
)
def test_an_unfit_folder_is_refused(tmp_path: Path, missing: str, said: str) -> None:
    _write_model(tmp_path / "mine")
    (tmp_path / "mine" / missing).unlink()
    (tmp_path / "mine" / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(Unavailable, match=said):
        _folder(tmp_path, str(tmp_path / "mine"))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="does not exist"):
        _folder(tmp_path, str(tmp_path / "none"))


@pytest.mark.parametrize("model", ["embedded:gpt-9", "a/b/c", "what is this?"])
def test_a_name_that_names_nothing(tmp_path: Path, model: str) -> None:
    with pytest.raises(BadInput, match="RANKLOOP_MODEL"):
        _folder(tmp_path, model)


def test_a_hub_model_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    def download(repo_id: str, **options: Any) -> None:
        asked.append({"repo_id": repo_id, **options})
        _write_model(options["local_dir"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    folder = _folder(tmp_path, "owner/name")
    assert folder == str(tmp_path / "home" / "models" / "owner--name")
    assert _folder(tmp_path, "owner/name") == folder
    assert [one["repo_id"] for one in asked] == ["owner/name"]
    assert not any("bin" in pattern or "pt" in pattern for pattern in asked[0]["allow_patterns"])


def test_an_interrupted_hub_download_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_repo_id: str, **options: Any) -> None:
        (options["local_dir"] / "config.json").write_text("{}")
        raise KeyboardInterrupt

    def resumed(_repo_id: str, **options: Any) -> None:
        assert (options["local_dir"] / "config.json").exists()
        _write_model(options["local_dir"])

    monkeypatch.setattr(huggingface_hub, "snapshot_download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _folder(tmp_path, "owner/name")
    assert not (tmp_path / "home" / "models" / "owner--name").exists()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", resumed)
    assert _folder(tmp_path, "owner/name").endswith("owner--name")


def test_a_hub_model_without_safetensors_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_repo_id: str, **options: Any) -> None:
        (options["local_dir"] / "config.json").write_text("{}")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(Unavailable, match=r"no \.safetensors file"):
        _folder(tmp_path, "owner/name")
    assert not (tmp_path / "home" / "models" / "owner--name").exists()


def test_a_hub_out_of_reach_is_one_sentence(tmp_path: Path) -> None:
    code = (
        "import sys; from reward.language_models.models import model_folder\n"
        "from storage.settings import load_settings\n"
        "try: model_folder(load_settings(model='owner/name'), lambda what, share: None)\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9"}
    environment.pop("HF_HUB_OFFLINE", None)
    said = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout
    assert said.startswith("Unavailable owner/name could not be downloaded from the Hugging Face")
    assert said.endswith("check the network, or set RANKLOOP_MODEL to a local folder.\n")
    assert said.count("\n") == 1
