"""What every command shares: one-sentence errors, exit codes, an example in its help, progress."""

import errno
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from storage.errors import RankloopError
from ui.cli.terminal import safe_terminals

if TYPE_CHECKING:
    from sqlmodel import Session

    from storage.settings import Settings
    from storage.tables import Account, Project

DONE, FAILED, WRONG_USAGE = 0, 1, 2
MOST_PROGRESS_LINES_A_SECOND = 5
LONGEST_SENTENCE = 200  # characters
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Command(click.Command):
    """A command whose help ends in an example."""

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        """Take click's arguments and the example's command line."""
        super().__init__(*args, **kwargs)
        self.example = example

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example under the options."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Example"):
            formatter.write_text(self.example)


class Group(click.Group):
    """A group whose help ends in an example, and whose commands have one each."""

    command_class = Command

    def __init__(self, *args: Any, example: str = "", **kwargs: Any) -> None:
        """Take click's arguments and the example's command line."""
        super().__init__(*args, **kwargs)
        self.example = example

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write each command with the whole first sentence of its help, over lines if need be."""
        commands = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        shown = [
            (name, command.get_short_help_str(limit=LONGEST_SENTENCE))
            for name, command in commands
            if command is not None and not command.hidden
        ]
        with formatter.section("Commands"):
            formatter.write_dl(shown)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example under the commands."""
        super().format_epilog(ctx, formatter)
        with formatter.section("Example"):
            formatter.write_text(self.example)


@dataclass
class Options:
    """Hold the options that stand before a command."""

    home: Path | None = None
    project: str | None = None
    debug: bool = False

    def settings(self, **others: object) -> "Settings":
        """Read the settings, these options and those of the command first; None is not given."""
        from storage.settings import load_settings

        return load_settings(home=self.home, project=self.project, **others)

    def place(self) -> list[str]:
        """Return the options that say where a command acts, as they were given."""
        arguments = ["--home", str(self.home)] if self.home else []
        return arguments + (["--project", self.project] if self.project else [])

    def as_arguments(self) -> list[str]:
        """Return the options as a child process is given them."""
        return self.place() + (["--debug"] if self.debug else [])


pass_options = click.make_pass_decorator(Options, ensure=True)


def run(cli: click.Command, arguments: Sequence[str] | None = None) -> int:
    """Run `cli` and return the exit code; every error is one sentence on stderr.

    `--debug` counts wherever it stands, since an error's own advice is to add it.
    """
    with safe_terminals():
        return _run(cli, arguments)


def _run(cli: click.Command, arguments: Sequence[str] | None) -> int:
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    stdout = sys.stdout
    given = (["--debug"] if debug else []) + [each for each in given if each != "--debug"]
    try:
        code = cli.main(given, prog_name="rankloop", standalone_mode=False)
        return code if isinstance(code, int) else DONE
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return WRONG_USAGE
    except click.UsageError as error:
        return _complain(_sentence_of_usage(error), WRONG_USAGE)
    except click.ClickException as error:
        return _complain(error.format_message(), FAILED)
    except (click.Abort, KeyboardInterrupt):
        return _complain("Stopped.", FAILED)
    except SystemExit as end:
        # A reader went away (`| head`): it has what it wanted. click has put a stream in the place
        # of stdout that takes the rest, and would end with 1.
        return DONE if sys.stdout is not stdout else _code_of(end)
    except BrokenPipeError:
        # Python would complain once more at its end.
        sys.stdout = None
        return DONE
    except Exception as error:
        if debug:
            traceback.print_exc()
        return _complain(_in_the_same_place(_sentence_of(error, debug), given), FAILED)


def _code_of(end: SystemExit) -> int:
    return end.code if isinstance(end.code, int) else FAILED if end.code else DONE


def _complain(sentence: str, code: int) -> int:
    click.echo(" ".join(sentence.split()), err=True)
    return code


def _sentence_of_usage(error: click.UsageError) -> str:
    path = error.ctx.command_path if error.ctx else "rankloop"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message}; see `{path} --help`."


def _sentence_of(error: Exception, debug: bool) -> str:
    if isinstance(error, RankloopError):
        return str(error)
    if isinstance(error, OSError) and error.errno in _NO_ROOM:
        where = f" for {error.filename}" if error.filename else ""
        return f"There is no room left on the disk{where}; make room and run it again."
    if "database is locked" in str(error):
        return (
            "Another process has been writing to the database all the while, so nothing was "
            "changed; try again, or see `rankloop doctor`, which names one that was stopped."
        )
    first = (str(error).strip().splitlines() or [""])[0].rstrip(".")
    what = f"{type(error).__name__}: {first}" if first else type(error).__name__
    advice = "" if debug else "; run again with --debug to see where"
    return f"This went wrong and should not have ({what}){advice}."


def _in_the_same_place(sentence: str, given: Sequence[str]) -> str:
    """Give the advice to run `rankloop init` the folder and the project that this command had."""
    place, words = [], iter(given)
    for word in words:
        if word in ("--home", "--project"):
            place += [word, next(words, "")]
        elif word.startswith(("--home=", "--project=")):
            place.append(word)
        elif word != "--debug":
            break
    if not place:
        return sentence
    return sentence.replace("`rankloop init`", f"`rankloop {shlex.join(place)} init`")


def project_of(session: "Session", settings: "Settings") -> "Project":
    """Return the project that the command acts on; raise `NotFound` if it does not exist."""
    from labeling.projects import get_project

    return get_project(session, name=settings.project)


def shell_account() -> "Account":
    """Return an account that is stored nowhere: whoever runs a command can open the database."""
    from storage.tables import Account, Role

    return Account(name="the server's shell", role=Role.ADMIN)


def stepwise() -> Callable[[str, float], None]:
    """Return a progress function (what is done, share done) that writes to stderr.

    On a terminal one line is rewritten; in a log, each new step is one line.
    """
    last: dict[str, Any] = {"label": None, "time": 0.0}

    def show(label: str, share: float) -> None:
        terminal, new = sys.stderr.isatty(), label != last["label"]
        recent = time.monotonic() - last["time"] < 1 / MOST_PROGRESS_LINES_A_SECOND
        if not new and (not terminal or (recent and share < 1)):
            return
        if terminal and new and last["label"]:
            click.echo(err=True)
        text = f"\r{label} {share:4.0%}" if terminal else label
        click.echo(text, err=True, nl=not terminal)
        last.update(label=label, time=time.monotonic())

    return show


def on_terminal(*, quiet: bool = False) -> Callable[[str, float], None]:
    """Return `stepwise` where a person looks on, and else a function that says nothing."""
    return (lambda what, share: None) if quiet or not sys.stderr.isatty() else stepwise()
