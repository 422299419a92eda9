from pathlib import Path

import pytest

from labeling.datasets.hub import push_to_hub
from storage.errors import NotAllowed, Unavailable
from tests.labeling.datasets.hub_stand_in import TOKEN, hub_stand_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "out"
    found.mkdir()
    (found / "README.md").write_text("---\nlicense: mit\n---\n")
    (found / "train.jsonl").write_text('{"a": 1}\n')
    return found


def test_a_folder_goes_up_whole_and_private(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    with hub_stand_in() as hub:
        address = push_to_hub(folder, repository="ada/ranked", endpoint=hub.url)
    assert hub.private == {"ada/ranked": True}
    assert hub.files["ada/ranked"] == {path.name: path.read_bytes() for path in folder.iterdir()}
    assert address == f"{hub.url}/datasets/ada/ranked"


def test_a_refusal_and_a_silence_are_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "another")
    with hub_stand_in() as hub:
        with pytest.raises(NotAllowed, match="does not let this token write to ada/ranked"):
            push_to_hub(folder, repository="ada/ranked", endpoint=hub.url)
        with pytest.raises(Unavailable, match="no name of a repository"):
            push_to_hub(folder, repository="a//b", endpoint=hub.url)
    with pytest.raises(Unavailable, match="could not be uploaded"):
        push_to_hub(folder, repository="ada/ranked", endpoint=hub.url)
