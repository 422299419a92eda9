"""The command line as a contract: names, help, exit codes, one-sentence errors, JSON shapes."""

import io
import json
import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import click
import pytest
from sqlmodel import select

from labeling.labeling_sections import ModelAnnotatorSettings
from labeling.model_annotators.model_judgments import (
    Mark,
    ModelLabel,
    model_account,
    store_model_judgment,
    tasks_to_judge,
)
from labeling.policies import live_policy
from labeling.simulated.simulation import simulate
from storage.blobs import write_folder
from storage.engine import reading, writing
from storage.settings import Settings, load_settings
from storage.tables import Account, Event, Policy, PolicyStatus, Project, Role
from tests.ui.conftest import Home, command, environment
from ui.cli import checks
from ui.cli.commands import cli
from ui.cli.frame import run

CONTRACT = {
    ("init",), ("up",), ("serve",), ("worker",), ("import", "prompts"),
    ("import", "completions"), ("import", "preferences"), ("import", "list"), ("complete",),
    ("export", "preferences"), ("export", "formats"), ("snapshot", "create"),
    ("snapshot", "list"), ("snapshot", "show"), ("snapshot", "diff"), ("simulate",),
    ("rounds",), ("stats",), ("account", "add"),
    ("account", "pool"), *(("account", name) for name in (
        "list", "role", "switch-off", "switch-on", "invite", "reset", "invitations", "uninvite",
        "sign-ins", "sign-out", "token", "tokens", "revoke-token",
    )), ("queue",), ("tasks", "requeue"), ("tasks", "withdraw"),
    ("guidelines", "show"), ("guidelines", "publish"), ("gold", "add"), ("labeling", "show"),
    ("labeling", "set"), ("doctor",),
    ("models",), ("policies", "list"), ("policies", "rollback"),
    ("policies", "add"), ("policies", "switch"),
    ("backup",), ("restore",), ("db", "copy"), ("reliability",), ("events",), ("audit",),
    ("privacy", "export"),
    ("privacy", "erase"), ("account", "roles"),
    ("withdraw", "annotator"), ("withdraw", "import"), ("withdraw", "window"),
    ("withdraw", "list"), ("withdraw", "revert"), ("webhook", "add"), ("webhook", "list"),
    ("webhook", "remove"), ("webhook", "test"), ("webhook", "kinds"), ("webhook", "deliver"),
    ("train", "reward"), ("train", "sft"), ("train", "ppo"), ("evaluate",),
}  # fmt: skip


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name, each in group.commands.items():
        if isinstance(each, click.Group):
            found |= leaves(each, (*path, name))
        else:
            found[(*path, name)] = each
    return found


def at(home: Home, *arguments: str) -> int:
    return run(cli, ["--home", str(home.path), *arguments])


ask_torch = checks.device


@cache
def torchs_answer(device: str) -> tuple[bool, str]:
    return ask_torch(load_settings(device=device))


@pytest.fixture(autouse=True)
def _torch_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let doctor ask torch once in this file: each time it takes two seconds to be imported."""

    def device(settings: Settings) -> tuple[bool, str]:
        return torchs_answer(settings.device)

    monkeypatch.setattr(checks, "device", device)


@pytest.fixture
def judged(home: Home) -> Home:
    with reading(home.engine) as session:
        project = session.get_one(Project, home.project_id)
    simulate(
        home.engine, project=project, annotators=2, judgments=8, noise=0.0, preference="shorter",
        seed=1, minutes=5, fill_pool=lambda: 0,
    )  # fmt: skip
    return home


def test_models_shows_what_they_took_and_got_wrong(
    judged: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(judged, "models") == 0
    assert "No model has judged anything here" in capsys.readouterr().out
    with writing(judged.engine) as session:
        account = model_account(session, name="reward model")
        (one, *_) = tasks_to_judge(
            session, project_id=judged.project_id, annotator_id=account.id or 0, limit=1
        )
        label = ModelLabel(list(range(1, len(one.completions) + 1)), 0.9)
        settings = ModelAnnotatorSettings(audit=0.0, confidence=0.5)
        mark = store_model_judgment(
            session, task_id=one.task_id, account=account, label=label, settings=settings
        )
    assert at(judged, "models", "--json") == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["name"], found["judgments"]) == ("reward model", 1)
    assert found["taken"] == (mark is Mark.TAKEN)
    assert at(judged, "models") == 0
    assert "1 task judged" in capsys.readouterr().out


def test_the_commands_are_the_contract() -> None:
    assert set(leaves(cli)) == CONTRACT


@pytest.mark.parametrize("path", sorted(CONTRACT))
def test_every_help_has_an_example_that_parses(
    path: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(cli, [*path, "--help"]) == 0
    words = shlex.split(capsys.readouterr().out.split("Example:")[1])
    monkeypatch.chdir(tmp_path)
    for name in ("prompts", "preferences", "completions", "demonstrations", "known"):
        (tmp_path / f"{name}.jsonl").touch()
    (tmp_path / "guidelines.md").touch()
    given = words[words.index(path[-1]) + 1 :]
    leaves(cli)[path].make_context("rankloop", given, parent=click.Context(cli))


@pytest.mark.parametrize(
    "group",
    [
        [],
        ["import"],
        ["export"],
        ["account"],
        ["tasks"],
        ["train"],
        ["snapshot"],
        ["withdraw"],
        ["webhook"],
        ["privacy"],
        ["db"],
    ],
)
def test_every_group_has_an_example(group: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, [*group, "--help"]) == 0
    assert "Example:\n  rankloop " in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, ["--version"]) == 0
    assert capsys.readouterr().out.startswith("rankloop 0.")


def test_without_arguments_comes_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(cli, []) == 0
    assert "Commands:" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"], ["--nonsense"], ["import", "prompts"], ["import", "nonsense"],
        ["import", "prompts", "/no/such/file"], ["simulate", "--annotators", "2"],
        ["simulate", "--annotators", "0", "--judgments", "1"],
        ["simulate", "--annotators", "1", "--judgments", "1", "--noise", "0.7"],
        ["account", "add", "ada", "--role", "king"], ["export", "preferences"],
        ["worker", "--nonsense"], ["rounds", "extra"],
        ["export", "preferences", "--format", "bogus", "--out", "preferences"],
        ["simulate", "--annotators", "1", "--judgments", "1", "--preference", "bogus"],
        ["simulate", "--annotators", "1", "--judgments", "1", "--preference", "no.py:f"],
        ["simulate", "--annotators", "1", "--judgments", "1", "--seed", "-1"],
    ],
)  # fmt: skip
def test_wrong_usage_is_one_sentence_and_exit_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.endswith("--help`.\n")


@pytest.mark.parametrize("group", [["snapshot"], ["import"], ["account"]])
def test_a_group_without_a_command_prints_its_help_as_it_is(
    group: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, [*group, "--help"]) == 0
    wanted = capsys.readouterr().out
    assert run(cli, group) == 2
    assert capsys.readouterr().err == wanted


@pytest.mark.parametrize("arguments", [["rounds"], ["stats"], ["worker", "--once"], ["serve"],
                                       ["account", "add", "ada", "--role", "lead"]])  # fmt: skip
def test_without_a_database_every_command_says_what_to_do_and_makes_nothing(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["--home", str(tmp_path / "none"), *arguments]) == 1
    said = capsys.readouterr().err
    assert f"run `rankloop --home {tmp_path / 'none'} init`" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "none").exists()


def test_without_options_of_a_place_the_advice_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANKLOOP_HOME", str(tmp_path / "none"))
    assert run(cli, ["--debug", "rounds"]) == 1
    assert "run `rankloop init` to make it" in capsys.readouterr().err


def test_the_help_says_in_whole_sentences_what_each_command_does(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(cli, ["--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "Show agreement, with 95 % intervals, and what each annotator has done." in shown
    assert "..." not in shown.partition("Commands:")[2]


def test_an_unknown_project_is_one_sentence(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert at(home, "--project", "other", "rounds") == 1
    assert capsys.readouterr().err == (
        f"There is no project named other; run `rankloop --home {home.path} --project other init` "
        "to make it.\n"
    )


def broken() -> None:
    raise ZeroDivisionError("two\nlines")


def test_the_unexpected_is_one_sentence_with_advice(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(click.Command("broken", callback=broken), []) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "ZeroDivisionError: two" in said
    assert "run again with --debug" in said


@pytest.mark.parametrize("place", ["before", "after"])
def test_debug_shows_the_traceback_wherever_it_stands(
    place: str, home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ui.cli.figures.round_summaries", lambda *_, **__: broken())
    arguments = ["--debug", "rounds"] if place == "before" else ["rounds", "--debug"]
    assert at(home, *arguments) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "--debug" not in said.splitlines()[-1]


def test_rounds_of_a_new_project_are_an_empty_list(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "rounds", "--json") == 0
    assert json.loads(capsys.readouterr().out) == []


def test_a_round_is_asked_for_once(judged: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert at(judged, "rounds", "--start", "--json") == 0
    (only,) = json.loads(capsys.readouterr().out)
    assert only["number"] == 1
    assert only["state"] == "queued"
    assert only["judgments"] == 8
    expected = {"number", "state", "reason", "judgments", "policy_version", "metrics", "seconds"}
    assert expected <= set(only)
    assert at(judged, "rounds", "--start") == 1
    assert "has not ended yet" in capsys.readouterr().err


def test_a_round_without_judgments_is_refused(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "rounds", "--start") == 1
    assert "no judgment to learn from" in capsys.readouterr().err


def test_stats(judged: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert at(judged, "stats", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["judgments"] == 8
    assert [row["judgments"] for row in found["annotators"]] == [4, 4]
    # Both simulated annotators rank by the same rule without noise.
    assert found["pairwise_agreement"]["value"] == 1.0
    assert found["pairwise_agreement"]["n"] > 0
    assert at(judged, "stats") == 0
    assert "Krippendorff's alpha" in capsys.readouterr().out


def test_stats_of_nothing_hold_nulls(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert at(home, "stats", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["judgments"] == 0
    assert found["krippendorff_alpha"]["value"] is None


def test_prompts_are_imported_once(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "One?"}\n{"prompt": "Two?"}\n')
    assert at(home, "import", "prompts", str(file)) == 0
    assert capsys.readouterr().out.startswith("2 prompts added, 0 were there")
    assert at(home, "import", "prompts", str(file)) == 0
    assert capsys.readouterr().out.startswith("0 prompts added, 2 were there")


def test_a_bad_line_imports_nothing_and_is_named(
    home: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "prompts.jsonl"
    file.write_text('{"prompt": "One?"}\n{"prompt": 7}\n')
    assert at(home, "import", "prompts", str(file)) == 1
    said = capsys.readouterr().err
    assert "prompts.jsonl" in said
    assert "line 2" in said
    assert "prompt" in said
    assert at(home, "doctor", "--json") in (0, 1)
    assert json.loads(capsys.readouterr().out)["counts"]["prompts"] == 8


def test_export(judged: Home, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "preferences"
    assert at(judged, "export", "preferences", "--format", "trl", "--out", str(out)) == 0
    rows = [json.loads(line) for line in (out / "train.jsonl").read_text().splitlines()]
    assert f"{len(rows)} pairs for training" in capsys.readouterr().out
    assert {"prompt", "chosen", "rejected", "policy_version", "round"} <= set(rows[0])
    assert at(judged, "export", "preferences", "--out", str(out)) == 1
    assert "not an empty folder" in capsys.readouterr().err
    with reading(judged.engine) as session:
        exported = session.exec(select(Event).where(Event.kind == "preferences.exported")).all()
    assert [event.detail["train"] for event in exported] == [len(rows)]


def test_an_export_may_go_to_the_folder_one_stands_in(
    judged: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert at(judged, "export", "preferences", "--out", ".") == 0
    assert (here / "train.jsonl").stat().st_size > 0


def test_simulate_uses_the_tasks_that_are_there(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--annotators", "3", "--judgments", "5", "--preference", "longer"]
    assert at(home, "simulate", *arguments) == 0
    assert capsys.readouterr().out.startswith("5 judgments by 3 simulated annotators")
    longest_first = [each.ranks for each in home.judgments("sim-1")]
    assert all(ranks[3] == 1 for ranks in longest_first)


def test_an_unknown_preference_is_refused(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--annotators", "1", "--judgments", "1", "--preference", "nonsense"]
    assert at(home, "simulate", *arguments) == 2
    assert "nonsense" in capsys.readouterr().err
    assert home.judgments("sim-1") == []


def test_account_add_prints_a_password_that_fits(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    assert at(home, "account", "add", "ada", "--role", "lead") == 0
    password = capsys.readouterr().out.split()[-1]
    assert fits(home, "ada", password).role is Role.LEAD
    assert at(home, "account", "add", "ada", "--role", "lead") == 1
    assert "already" in capsys.readouterr().err


def test_account_add_reads_a_password(
    home: Home, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("correct horse\n"))
    assert at(home, "account", "add", "bob", "--role", "annotator", "--password-stdin") == 0
    assert "correct horse" not in capsys.readouterr().out
    assert fits(home, "bob", "correct horse").name == "bob"


def fits(home: Home, name: str, password: str) -> Account:
    from labeling.accounts import authenticate

    with reading(home.engine) as session:
        return authenticate(session, name=name, password=password)


def test_doctor_names_what_is_missing(home: Home, capsys: pytest.CaptureFixture[str]) -> None:
    assert at(home, "doctor", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    wrong = {each["name"]: each["detail"] for each in found["checks"] if not each["ok"]}
    assert set(wrong) == {"model"}
    assert str(home.path / "models/tiny") in wrong["model"]
    assert found["ok"] is False
    assert found["device"].startswith(("cpu", "cuda", "mps"))
    assert found["counts"] == {"prompts": 8, "tasks": 8, "judgments": 0, "policies": 1}


def test_doctor_is_content_with_a_whole_model(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    whole_folder(home, "models/tiny")
    assert at(home, "doctor") == 0
    assert "WRONG" not in capsys.readouterr().out
    (home.path / "models/tiny/model.safetensors").write_bytes(b"broken!")
    assert at(home, "doctor") == 1
    assert "model.safetensors" in capsys.readouterr().out


def whole_folder(home: Home, uri: str) -> None:
    with write_folder(home.path, uri) as folder:
        (folder / "model.safetensors").write_bytes(b"weights")


def test_doctor_checks_the_base_model_under_a_later_policy(
    home: Home, capsys: pytest.CaptureFixture[str]
) -> None:
    for uri in ("models/tiny", "checkpoints/2"):
        whole_folder(home, uri)
    publish_policy(home, "checkpoints/2")
    assert at(home, "doctor") == 0
    (home.path / "models/tiny/model.safetensors").write_bytes(b"broken!")
    assert at(home, "doctor", "--json") == 1
    assert findings(capsys) == {"model": "models/tiny/model.safetensors"}
    whole_folder(home, "models/tiny")
    (home.path / "checkpoints/2/model.safetensors").unlink()
    assert at(home, "doctor", "--json") == 1
    assert findings(capsys) == {"policy": "checkpoints/2/model.safetensors"}


def publish_policy(home: Home, uri: str) -> None:
    with writing(home.engine) as session:
        first = live_policy(session, project_id=home.project_id)
        first.status = PolicyStatus.RETIRED
        session.add(first)
        session.flush()
        session.add(
            Policy(
                project_id=home.project_id, version=2, parent_id=first.id,
                status=PolicyStatus.LIVE, checkpoint_uri=uri,
            )
        )  # fmt: skip


def findings(capsys: pytest.CaptureFixture[str]) -> dict[str, str]:
    """Return the file that each failed check names."""
    said = capsys.readouterr().out
    checks = json.loads(said[said.index("{") :])["checks"]
    return {
        each["name"]: next(word for word in each["detail"].split() if "/" in word)
        for each in checks
        if not each["ok"]
    }


def test_doctor_of_nothing_makes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(cli, ["--home", str(tmp_path / "none"), "doctor", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {"home", "database"} <= {each["name"] for each in found["checks"] if not each["ok"]}
    assert found["counts"]["prompts"] == 0
    assert not (tmp_path / "none").exists()


def test_the_command_line_starts_without_heavy_libraries() -> None:
    code = (
        "import sys; from ui.cli.commands import cli; from ui.cli.frame import run; "
        "run(cli, ['--help']); "
        "heavy = {'torch', 'streamlit', 'transformers', 'pandas', 'sqlmodel'} & set(sys.modules); "
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], env=environment(), capture_output=True)
    assert done.returncode == 0, done.stderr


def test_a_closed_pipe_is_no_error(home: Home) -> None:
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    done = subprocess.run(
        command("--home", str(home.path), "stats"),
        env=environment(), stdout=writing_end, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(writing_end)
    assert "Traceback" not in done.stderr
