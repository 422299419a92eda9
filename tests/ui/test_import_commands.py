"""Bringing data in from the command line, and asking servers for completions."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from labeling.statistics import known_judgments
from storage.engine import reading
from storage.tables import Import, Judgment, Prompt, Task, TaskStatus
from tests.reward.chat_server import Chatting, chatting
from tests.ui.conftest import Home
from tests.ui.test_terminal import Terminal
from ui.cli import figures_ahead
from ui.cli.commands import cli
from ui.cli.frame import run
from ui.figures import kept_figures, measured_ahead

PAIRS = [
    {"prompt": "One?", "chosen": "a", "rejected": "b", "annotator": "ann"},
    {"prompt": "Two?", "chosen": "a", "rejected": "b", "annotator": "ann"},
]
KEY = "sk-very-secret-0123456789"


def at(home: Home, *arguments: str) -> int:
    return run(cli, ["--home", str(home.path), *arguments])


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def count(home: Home, table: Any) -> int:
    with reading(home.engine) as session:
        return len(session.exec(select(table)).all())


def test_preferences_are_tried_imported_listed_and_refused(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "pairs.jsonl", PAIRS)
    assert at(home, "import", "preferences", file, "--dry-run") == 0
    assert "Nothing was changed" in capsys.readouterr().out
    assert count(home, Import) == 0
    assert at(home, "import", "preferences", file, "--json", "--source", "them") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["judgments"], done["format"], done["annotators"]) == (2, "trl_preference", 1)
    assert at(home, "import", "list") == 0
    assert "2 judgments, 4 completions, 1 policy, 2 prompts, 1 annotator\n" in (
        capsys.readouterr().out
    )
    assert at(home, "policies") == 0
    assert "version -1  import " in capsys.readouterr().out
    assert at(home, "import", "list", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["counts"]["tasks"] == 2
    assert at(home, "import", "preferences", file) == 1
    assert "in the project already" in capsys.readouterr().err
    assert count(home, Judgment) == 2


def test_bad_rows_end_it_or_are_set_aside(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"prompt": "Three?", "chosen": "a"}
    file = write(tmp_path / "pairs.jsonl", [*PAIRS, bad])
    assert at(home, "import", "preferences", file, "--format", "trl_preference") == 1
    assert "line 3, field rejected: it is missing" in capsys.readouterr().err
    assert at(home, "import", "preferences", file, "--dry-run") == 1
    assert "pairs.jsonl has 1 bad row, so nothing" in capsys.readouterr().err
    aside = tmp_path / "bad.jsonl"
    assert count(home, Import) == 0 and not aside.exists()
    assert at(home, "import", "preferences", file, "--skip-bad", str(aside)) == 0
    assert json.loads(aside.read_text())["row"] == bad
    assert count(home, Judgment) == 2
    assert at(home, "import", "preferences", file, "--skip-bad", str(aside)) == 1


def test_a_refused_import_leaves_no_file_of_bad_rows(home: Home, tmp_path: Path) -> None:
    file = write(tmp_path / "pairs.jsonl", [*PAIRS, {"prompt": "x"}])
    aside = tmp_path / "bad.jsonl"
    options = ["--skip-bad", str(aside), "--source", "n" * 99, "--format", "trl_preference"]
    assert at(home, "import", "preferences", file, *options) == 1
    assert not list(tmp_path.glob("*bad*")) and count(home, Import) == 0


def test_prompts_have_tags_and_a_language(home: Home, tmp_path: Path) -> None:
    rows = [{"prompt": "New one?", "tags": "a, b"}, {"prompt": "New two?", "language": "de"}]
    file = write(tmp_path / "prompts.jsonl", rows)
    assert at(home, "import", "prompts", file, "--tag", "c", "--language", "en") == 0
    with reading(home.engine) as session:
        found = {one.messages[0]["content"]: one for one in session.exec(select(Prompt))}
    assert (found["New one?"].tags, found["New one?"].language) == (["a", "b", "c"], "en")
    assert (found["New two?"].tags, found["New two?"].language) == (["c"], "de")


MANY = 600
KNOWN = {"completions": ["a", "b"], "ranks": [1, 2]}
DEMONSTRATED = {"completion": "a"}


@pytest.mark.parametrize(
    ("command", "row", "stored"),
    [
        (["import", "prompts"], {}, "Storing"),
        (["import", "preferences"], {"chosen": "a", "rejected": "b"}, "Storing"),
        (["import", "preferences", "--format", "trl_prompt_only"], {}, "Storing prompts"),
        (["import", "preferences"], DEMONSTRATED, "Storing demonstrations"),
        (["import", "completions"], {"completions": ["a", "b"]}, "Storing"),
        (["gold", "add"], KNOWN, "Storing"),
    ],
)
def test_a_long_file_says_on_a_terminal_how_far_it_is(
    home: Home,
    tmp_path: Path,
    command: list[str],
    row: dict[str, Any],
    stored: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{"prompt": f"{stored} {number}?", **row} for number in range(MANY)]
    file = write(tmp_path / "many.jsonl", rows)
    terminal = Terminal()
    with monkeypatch.context() as patched:
        patched.setattr("sys.stderr", terminal)
        assert at(home, *command, file) == 0
    said = terminal.getvalue()
    assert "\rReading many.jsonl 100%\n" in said
    assert f"\r{stored} " in said and said.endswith(f"\r{stored} 100%\n")


def test_there_is_no_line_of_progress_in_a_log_or_beside_json(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = [{"prompt": f"{number}?"} for number in range(MANY)]
    pairs = [{**one, "chosen": "a", "rejected": "b"} for one in asked]
    assert at(home, "import", "prompts", write(tmp_path / "asked.jsonl", asked)) == 0
    assert at(home, "import", "preferences", write(tmp_path / "pairs.jsonl", pairs)) == 0
    assert capsys.readouterr().err == ""
    file = write(tmp_path / "many.jsonl", asked)
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    assert at(home, "import", "prompts", file, "--json") == 0
    again = ["import", "preferences", file, "--format", "trl_prompt_only", "--json"]
    assert at(home, *again) == 0
    assert terminal.getvalue() == ""


@pytest.fixture
def server() -> Iterator[Chatting]:
    with chatting() as served:
        yield served


def test_a_server_answers_a_file_and_people_can_rank_it(
    home: Home,
    tmp_path: Path,
    server: Chatting,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FAR_KEY", KEY)
    server.key = KEY
    add = ["policies", "add", "--endpoint", server.url, "--model", "m", "--name", "far"]
    assert at(home, *add, "--key-env", "FAR_KEY", "--price-in", "1", "--price-out", "2") == 0
    assert at(home, *add) == 1
    file = write(tmp_path / "asked.jsonl", [{"prompt": "One?"}, {"prompt": "Two?"}])
    out = tmp_path / "answers.jsonl"
    ask = ["complete", "--policy", "far", "--prompts", file, "--out", str(out), "--samples", "2"]
    capsys.readouterr()
    assert at(home, *ask, "--json") == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["completions"], done["prompt_tokens"], done["requests"]) == (4, 40, 4)
    assert at(home, "policies", "--json") == 0
    told = capsys.readouterr().out
    (far,) = [one for one in json.loads(told) if one["kind"] == "endpoint"]
    assert far["used"]["cost"] == pytest.approx((40 * 1 + 20 * 2) / 1e6)
    assert far["endpoint"]["key_env"] == "FAR_KEY" and KEY not in told
    assert at(home, "import", "completions", str(out)) == 0
    with reading(home.engine) as session:
        tasks = session.exec(select(Task).where(Task.import_id.is_not(None))).all()  # type: ignore[union-attr]
    assert [task.status for task in tasks] == [TaskStatus.READY] * 2
    assert KEY.encode() not in b"".join(
        path.read_bytes() for path in home.path.glob("rankloop.db*")
    )


def test_what_was_answered_before_a_server_ended_is_kept_and_counted(
    home: Home, tmp_path: Path, server: Chatting, capsys: pytest.CaptureFixture[str]
) -> None:
    at(home, "policies", "add", "--endpoint", server.url, "--model", "far", "--attempts", "1",
       "--requests-at-once", "1")  # fmt: skip
    rows = [{"prompt": f"{number}?"} for number in range(3)]
    ok = {"choices": [{"message": {"content": "yes"}}], "usage": server.usage}
    server.faults = [(200, {}, json.dumps(ok)), (500, {}, "gone")]
    out = tmp_path / "answers.jsonl"
    capsys.readouterr()
    ask = ["complete", "--policy", "far", "--prompts", write(tmp_path / "asked.jsonl", rows)]
    assert at(home, *ask, "--out", str(out)) == 1
    assert "HTTP 500: gone" in capsys.readouterr().err
    assert len(out.read_text().splitlines()) == 1
    assert at(home, "policies", "switch", "far", "off") == 0
    assert at(home, "policies") == 0
    assert "switched off far: 1 request (" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    "given",
    [["--key-env", KEY], ["--endpoint", f"https://u:{KEY}@host"], ["--body", "[]"]],
)
def test_a_policy_that_does_not_fit_is_refused(
    home: Home, given: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    add = ["policies", "add", "--endpoint", "http://127.0.0.1:9", "--model", "m"]
    assert at(home, *add, *given) == 1
    told = capsys.readouterr().err
    assert "does not fit" in told or "must be" in told
    assert KEY not in told


@pytest.mark.parametrize("kind", ["prompts", "completions", "preferences"])
def test_a_language_that_is_none_is_refused_on_every_database(
    home: Home, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{**PAIRS[0], "completions": ["a", "b"]}]
    file = write(tmp_path / "rows.jsonl", rows)
    before = count(home, Prompt)
    assert at(home, "import", kind, file, "--language", "e" * 36) == 1
    assert "language cannot be used: it must be a tag" in capsys.readouterr().err
    assert count(home, Prompt) == before
    assert at(home, "import", kind, file, "--language", "en", "--tag", " long" * 100) == 0
    with reading(home.engine) as session:
        newest = session.exec(select(Prompt).order_by(col(Prompt.id).desc())).first()
    assert newest is not None and [len(tag) for tag in newest.tags] == [100]


def test_an_address_that_is_none_is_named_by_its_option(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "policies", "add", "--endpoint", "nonsense", "--model", "big") == 1
    assert capsys.readouterr().err.startswith("--endpoint does not fit: ")


def test_a_dry_run_counts_what_is_good(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = {"prompt": "Three?", "chosen": "a"}
    for rows, said in (
        ([*PAIRS, bad], "without the bad rows (trl_preference): 2 rows, 2 judgments."),
        ([bad], "without the bad rows (trl_preference): nothing."),
        (PAIRS, "This would be imported (trl_preference): 2 rows, 2 judgments."),
    ):
        file = write(tmp_path / "pairs.jsonl", rows)
        given = ["import", "preferences", file, "--format", "trl_preference", "--dry-run"]
        assert at(home, *given) == (1 if bad in rows else 0)
        assert said in capsys.readouterr().out


def test_many_judgments_leave_their_figures_in_files_and_few_do_not(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [PAIRS[0] | {"prompt": f"Number {number}?"} for number in range(6)]
    assert at(home, "import", "preferences", write(tmp_path / "few.jsonl", PAIRS)) == 0
    assert not (home.path / "judgments").exists()
    monkeypatch.setattr(figures_ahead, "_FEW", 5)
    for module in (measured_ahead, kept_figures, known_judgments):
        monkeypatch.setattr(module, "WORTH_A_FILE", 5)
    assert at(home, "import", "preferences", write(tmp_path / "many.jsonl", rows), "--json") == 0
    written = {file.name.partition("-")[2] for file in (home.path / "judgments").glob("*.npz")}
    assert {"quality.figures.npz", "hurts.figures.npz", "annotators.figures.npz"} <= written


def test_who_stops_the_figures_keeps_the_import(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(figures_ahead, "_FEW", 1)
    monkeypatch.setattr(measured_ahead, "measure_into_files", stop)
    assert at(home, "import", "preferences", write(tmp_path / "pairs.jsonl", PAIRS)) == 0
    assert "when a page asks" in capsys.readouterr().err
    assert count(home, Judgment) == 2
