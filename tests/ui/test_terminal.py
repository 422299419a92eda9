"""Hostile texts on a terminal: shown, never obeyed; a file gets them as they are."""

import io
import json
import sys
from pathlib import Path

import click
import pytest

from labeling.quality_control.guidelines import publish_guidelines
from storage.engine import writing
from storage.errors import BadInput
from storage.tables import Project
from tests.hostile_texts import STORABLE, TEXTS, HostileText
from tests.ui.small_home import small_home
from ui.cli.commands import cli
from ui.cli.frame import run, stepwise
from ui.cli.terminal import SafeTerminal


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def is_calm(text: str) -> bool:
    """Say whether a terminal only writes the text: no control but new lines and tabs."""
    return not any((ord(one) < 32 and one not in "\n\t") or 127 <= ord(one) < 160 for one in text)


@pytest.mark.parametrize("one", TEXTS, ids=lambda one: one.name)
def test_a_hostile_text_commands_no_terminal(
    one: HostileText, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def say() -> None:
        click.echo(one.text.encode("utf-8", "replace").decode())
        click.echo(f"Error about {one.text}".encode("utf-8", "replace").decode(), err=True)

    out, err = Terminal(), Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    assert run(say, []) == 0
    assert out.getvalue() and is_calm(out.getvalue()) and is_calm(err.getvalue())
    assert sys.stdout is out and sys.stderr is err


def test_an_error_about_a_file_with_such_a_name_is_calm_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    name = "\x1b]0;x\x07\u202egpj.\nINFO.jsonl"
    assert run(cli, ["--home", str(tmp_path), "import", "prompts", str(tmp_path / name)]) != 0
    assert is_calm(err.getvalue()) and "\u202e" not in err.getvalue()
    assert err.getvalue().count("\n") == 1


def test_a_line_of_progress_is_still_written_anew() -> None:
    stream = Terminal()
    terminal = SafeTerminal(stream, progress=True)
    terminal.writelines(["\rtraining 50%", "\rtraining\r 51%"])
    assert stream.getvalue() == "\rtraining 50%\rtraining\\r 51%"


@pytest.mark.parametrize("words", ["5 rows", ""])
def test_a_result_does_not_stand_behind_a_line_of_progress(
    words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @click.command()
    def bring() -> None:
        progress = stepwise()
        progress("reading", 0.1)
        progress("reading", 1.0)
        progress("storing", 1.0)
        if words:
            click.echo(words)

    both = Terminal()  # stdout and stderr are one terminal, as for a person
    monkeypatch.setattr(sys, "stdout", both)
    monkeypatch.setattr(sys, "stderr", both)
    assert run(bring, []) == 0
    wanted = "\rreading  10%\rreading 100%\n\rstoring 100%\n"
    assert both.getvalue() == wanted + (f"{words}\n" if words else "")


def test_an_error_after_progress_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    @click.command()
    def bring() -> None:
        stepwise()("reading", 0.1)
        raise BadInput("Line 2 is bad.")

    err = Terminal()
    monkeypatch.setattr(sys, "stderr", err)
    assert run(bring, []) == 1
    assert err.getvalue() == "\rreading  10%\nLine 2 is bad.\n"


def test_a_shorter_line_of_progress_covers_the_longer_one() -> None:
    stream = Terminal()
    terminal = SafeTerminal(stream, progress=True)
    terminal.writelines(["\rwriting 10 tasks", "\r3 of 3\n", "done\n"])
    assert stream.getvalue() == "\rwriting 10 tasks\r3 of 3" + 10 * " " + "\ndone\n"


def test_what_is_stored_is_shown_calm_on_a_terminal_and_whole_in_a_file(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    sqlite_template: Path,
) -> None:
    home = small_home(tmp_path / "home", sqlite_template)
    text = "\n".join(one.text[:200] for one in STORABLE).strip()
    with writing(home.engine) as session:
        project = session.get_one(Project, home.project_id)
        publish_guidelines(session, project=project, by=None, text=text)
    home.engine.dispose()
    arguments = ["--home", str(home.path), "guidelines", "show", "--json"]
    assert run(cli, arguments) == 0
    as_file = capsys.readouterr().out
    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    assert run(cli, arguments[:-1]) == 0
    assert "\x1b[2J" in json.loads(as_file)["text"]
    assert "<script>" in out.getvalue() and "\\x1b[2J" in out.getvalue()
    assert is_calm(out.getvalue())
