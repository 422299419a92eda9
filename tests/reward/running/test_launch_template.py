"""Templates of commands: filled without a shell, quoted where there is one, wrong ones named."""

import shlex
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reward.running.launch_template import LaunchTemplate, check_launcher, job_values
from storage.errors import BadInput, RankloopError, Unavailable
from storage.settings import Settings, load_settings

# What a path or a project's name may hold: anything but NUL.
NAMES = st.text(st.characters(blacklist_characters="\0", blacklist_categories=["Cs"]), max_size=20)


def _template(text: str, *, shell: bool = False) -> LaunchTemplate:
    return LaunchTemplate("launch_command", text, shell)


@given(home=NAMES, folder=NAMES)
def test_values_are_words_however_they_look(home: str, folder: str) -> None:
    values = {"home": home, "job": ["reward.stages.job", folder], "processes": "2"}
    found = _template("srun --chdir={home} -n {processes} -m {job}").command(values)
    assert found == ["srun", f"--chdir={home}", "-n", "2", "-m", "reward.stages.job", folder]
    nested = _template('sbatch --wrap "python -m {job}"').command(values)
    assert shlex.split(nested[2]) == ["python", "-m", "reward.stages.job", folder]


@pytest.mark.parametrize("folder", ["/a b/'c\"; echo no; $(echo no)", "-e", "*", "\\", "{home}"])
def test_a_shell_gets_values_quoted(folder: str) -> None:
    values = {"job": ["module", folder]}
    command = _template("printf '%s\\n' {job} | cat", shell=True).command(values)
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said == f"module\n{folder}\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("sh {jobs}", r"placeholder {jobs}, which does not exist; there are {python}, {job}"),
        ("sh {}{job}", "placeholder {}"),
        ("sh {job", "without its other one"),
        ("sh 'x {job}", "cannot be split"),
        ("sh -c true", "does not name {job}"),
        ("sh {job!r}", "name it alone"),
        ("/no/such/program {job}", "'/no/such/program'.*is not on this machine"),
    ],
)
def test_a_template_that_cannot_work_is_named(text: str, words: str) -> None:
    with pytest.raises(RankloopError, match=words):
        _template(text).check()


def test_braces_can_be_written() -> None:
    found = _template("kubectl -o jsonpath={{.status}} {job}").command({"job": ["a", "b"]})
    assert found == ["kubectl", "-o", "jsonpath={.status}", "a", "b"]


def _settings(**values: object) -> Settings:
    return load_settings(home="/tmp", **values)


def test_the_setting_is_checked_as_a_whole() -> None:
    assert "local" in check_launcher(_settings())
    with pytest.raises(BadInput, match="launch_command is empty"):
        check_launcher(_settings(launcher="command"))
    with pytest.raises(BadInput, match="only with launcher=command"):
        check_launcher(_settings(launch_command="sh {job}"))
    with pytest.raises(Unavailable, match="cancel_command"):
        check_launcher(
            _settings(
                launcher="command", launch_command="sh {job}", cancel_command="/no/scancel {name}"
            )
        )
    words = check_launcher(
        _settings(launcher="command", launch_command="sh -c '{python} -m {job}'")
    )
    assert words == "training by sh"


def test_every_placeholder_has_a_value() -> None:
    values = job_values(_settings(processes=3), name="n", stage="ppo", job=["a", "b c"])
    text = "x {python} {name} {home} {processes} {project} {stage} {job}"
    words = [sys.executable, "n", "/tmp", "3", "default", "ppo", "a", "b c"]
    assert _template(text).command(values) == ["x", *words]
