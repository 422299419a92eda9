"""The settings `launch_command`, `cancel_command` and `publish_command`: templates of commands.

A template is split into words as a shell would, then its placeholders are filled, so no value can
become more words than it is. Where a word is a command line itself (it holds a space, as in
`sbatch --wrap "{python} -m {job}"`) values are quoted for the shell that reads it.
"""

import re
import shlex
import shutil
import string
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from uuid import uuid4

from storage.errors import BadInput, Unavailable
from storage.settings import Settings

PLACEHOLDERS: dict[str, str] = {
    "python": "this Python",
    "job": "the module to run and its arguments, for `python -m`",
    "name": "the job's name: letters, digits and hyphens, never used twice",
    "home": "RANKLOOP_HOME",
    "processes": "the setting `processes`",
    "project": "the project's name",
    "stage": "reward, ppo or round",
}
PUBLISHED = {
    "url": "a server's address",
    "name": "what it has to serve the policy as",
    "folder": "the policy's checkpoint, a LoRA folder in peft's layout",
    "home": "RANKLOOP_HOME",
    "project": "the project's name",
}
KNOWN = {
    "launch_command": PLACEHOLDERS,
    "cancel_command": PLACEHOLDERS,
    "publish_command": PUBLISHED,
}
NEEDED = {"launch_command": "job", "publish_command": "name"}
SHELL = "/bin/sh"

Values = Mapping[str, str | list[str]]


@dataclass(frozen=True)
class LaunchTemplate:
    """A command with placeholders, as the setting `setting` has it."""

    setting: str
    text: str
    shell: bool = False  #: whether a shell reads the whole command

    def check(self) -> None:
        """Raise `BadInput` where it cannot be filled, `Unavailable` where its program is absent."""
        if not self.text.strip():
            raise self._wrong("is empty")
        names = {name for _, name, _, _ in self._parsed(self.text) if name is not None}
        for name in sorted(names - KNOWN[self.setting].keys()):
            known = ", ".join(f"{{{one}}}" for one in KNOWN[self.setting])
            raise self._wrong(
                f"has the placeholder {{{name}}}, which does not exist; there are {known} "
                "(write {{ and }} for braces)"
            )
        needed = NEEDED.get(self.setting)
        if needed is not None and needed not in names:
            raise self._wrong(f"does not name {{{needed}}}, which is what it is about")
        program = SHELL if self.shell else self.command(_EXAMPLE)[0]
        if shutil.which(program) is None:
            raise Unavailable(
                f"The program {program!r} of setting {self.setting} is not on this machine, or "
                "cannot be run; install it, or name it by its whole path."
            )

    def command(self, values: Values) -> list[str]:
        """Return the words of the command; raise `BadInput` where the template is unsound."""
        if self.shell:
            return [SHELL, "-c", self._filled(self.text, values, quoted=True)]
        words: list[str] = []
        for word in self._words():
            whole = values.get(word[1:-1]) if word[:1] == "{" and word[-1:] == "}" else None
            if isinstance(whole, list):
                words += whole
            else:
                words.append(self._filled(word, values, quoted=any(map(str.isspace, word))))
        return words

    def _words(self) -> list[str]:
        try:
            return shlex.split(self.text)
        except ValueError as error:
            raise self._wrong(f"cannot be split into words ({error})") from error

    def _filled(self, text: str, values: Values, *, quoted: bool) -> str:
        parts = []
        for plain, name, _, _ in self._parsed(text):
            parts.append(plain)
            if name is not None:
                value = values[name]
                found = value if isinstance(value, list) else [value]
                parts.append(shlex.join(found) if quoted else " ".join(found))
        return "".join(parts)

    def _parsed(self, text: str) -> list[tuple[str, str | None, str | None, str | None]]:
        try:
            found = list(string.Formatter().parse(text))
        except ValueError as error:
            raise self._wrong(f"has a brace without its other one ({error})") from error
        for _, name, style, conversion in found:
            if style or conversion:
                raise self._wrong(f"styles the placeholder {{{name}}}; name it alone")
        return found

    def _wrong(self, what: str) -> BadInput:
        return BadInput(
            f"Setting {self.setting} {what}; see docs/training-at-size.md for examples."
        )


_EXAMPLE: Values = {
    **dict.fromkeys({**PLACEHOLDERS, **PUBLISHED}, "1"),
    "job": ["job"],
    "python": sys.executable,
}


def launch_templates(settings: Settings) -> tuple[LaunchTemplate, LaunchTemplate | None]:
    """Return the command that starts a job, and the one that cancels it, if there is one."""
    cancel = None
    if settings.cancel_command:
        cancel = LaunchTemplate("cancel_command", settings.cancel_command, settings.launch_shell)
    return (
        LaunchTemplate("launch_command", settings.launch_command, settings.launch_shell),
        cancel,
    )


def check_launcher(settings: Settings) -> str:
    """Return in words how training is started; raise where that cannot work, saying why."""
    if settings.publish_command:
        LaunchTemplate("publish_command", settings.publish_command, settings.launch_shell).check()
    if settings.launcher != "command":
        if settings.launch_command:
            raise BadInput(
                "Setting launch_command is used only with launcher=command; set that, or remove it."
            )
        return f"{settings.launcher}, {settings.processes} process(es)"
    for template in launch_templates(settings):
        if template is not None:
            template.check()
    what = "whole rounds" if settings.launch_part == "round" else "training"
    return f"{what} by {launch_templates(settings)[0].command(_EXAMPLE)[0]}"


def job_name(project: str, stage: str) -> str:
    """Return a name that SLURM and Kubernetes take (RFC 1123's label), and that is never reused."""
    words = re.sub("[^a-z0-9]+", "-", project.lower()).strip("-")[:20] or "project"
    return f"rankloop-{words}-{stage}-{uuid4().hex[:12]}"


def job_values(settings: Settings, *, name: str, stage: str, job: list[str]) -> Values:
    """Return what the placeholders stand for."""
    return {
        "python": sys.executable,
        "job": job,
        "name": name,
        "home": str(settings.home),
        "processes": str(settings.processes),
        "project": settings.project,
        "stage": stage,
    }
