import hashlib
import random
from pathlib import Path

import pytest

from labeling.people.breached_passwords import is_breached
from labeling.people.passwords import hash_password
from storage.errors import BadInput, Unavailable


def sha1(text: str) -> str:
    return hashlib.sha1(text.encode()).hexdigest().upper()


LEAKED = [f"password{number}" for number in range(200)]


@pytest.fixture(params=["sorted", "counted", "lower", "ranges", "plain", "crlf"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    hashes = sorted(map(sha1, LEAKED))
    file = tmp_path / "leaked"
    count = random.Random(0)
    lines = {
        "sorted": hashes,
        "counted": [f"{each}:{count.randrange(10**7)}" for each in hashes],
        "lower": [each.lower() for each in hashes],
        "plain": LEAKED,
        "crlf": [f"{each}:3\r" for each in hashes],
    }
    if request.param == "ranges":
        file.mkdir()
        for each in hashes:
            with (file / f"{each[:5]}.txt").open("a") as out:
                out.write(f"{each[5:]}:17\n")
    else:
        file.write_text("\n".join(lines[request.param]) + "\n", newline="")
    return file


def test_every_leaked_password_is_found_and_no_other(source: Path) -> None:
    assert all(is_breached(each, source) for each in LEAKED)
    assert not any(is_breached(f"another {number}", source) for number in range(300))


def test_a_file_of_one_line_and_an_empty_one(tmp_path: Path) -> None:
    file = tmp_path / "one"
    file.write_text(sha1("hunter22"))
    assert is_breached("hunter22", file) and not is_breached("hunter23", file)
    file.write_text("")
    assert not is_breached("hunter22", file)


def test_a_breached_password_is_refused_in_one_sentence(tmp_path: Path) -> None:
    file = tmp_path / "list"
    file.write_text("correct horse\n")
    with pytest.raises(BadInput, match="list of stolen ones"):
        hash_password("correct horse", breached=file)
    assert hash_password("incorrect horse", breached=file).startswith("$argon2id$")


def test_a_list_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="breached_passwords"):
        is_breached("whatever it is", tmp_path / "none")
