"""The folder that holds everything."""

from pathlib import Path

import pytest

from storage.errors import Unavailable
from storage.home import prepare_home


def test_the_folder_is_made_and_left_empty(tmp_path: Path) -> None:
    home = prepare_home(tmp_path / "a" / "b")
    assert home.is_dir()
    assert list(home.iterdir()) == []


def test_a_file_in_the_way_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(Unavailable, match=r"cannot be written to .* set RANKLOOP_HOME") as caught:
        prepare_home(tmp_path / "home")
    assert "\n" not in str(caught.value)
