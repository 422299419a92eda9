"""Print what becomes of each hostile text on each way through (`make hostile`).

Each cell is found by doing it, the page's in Chromium: "as text" is that the text is all there and
that nothing was fetched, run, opened or put into the page. `--docs` puts the table into
docs/operations.md. The other pages are tried by tests/ui/test_hostile_in_browser.py.
"""

import csv
import io
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pyarrow
from playwright.sync_api import sync_playwright

from labeling.datasets.row_writers import CsvWriter
from labeling.formats.registry import FORMATS
from labeling.imports.prompt_files import read_prompts
from labeling.judging.answers import valid_rationale
from labeling.labeling_sections import PageSettings
from labeling.spreadsheets import defused
from labeling.webhooks.messages import body_of
from storage.errors import BadInput
from storage.printable import printable
from storage.settings import load_settings
from storage.tables import Event, Project
from storage.telemetry.logs import build_formatter
from tests.chromium import find_chromium
from tests.hostile_texts import TEXTS, HostileText
from tests.labeling.test_hostile_texts import FIELDS, read, write
from tests.ui.hostile_stage import Watch
from tests.ui.ranking.ranking_stage import ADDRESS, context_for, open_stage, task
from ui.cli.terminal import SafeTerminal

DOCS = Path(__file__).parents[1] / "docs" / "operations.md"
START, END = "<!-- hostile texts: begin -->", "<!-- hostile texts: end -->"
Way = Callable[[HostileText, Path], str]
SAME, REFUSED, ESCAPED = "as it is", "refused", "escaped"


def through_import(one: HostileText, folder: Path) -> str:
    """Read a file of prompts with the text in it."""
    path = folder / "prompts.jsonl"
    path.write_text(json.dumps({"prompt": one.text}) + "\n")
    try:
        (found,) = read_prompts(path)
    except BadInput:
        return REFUSED
    return SAME if found.messages[0]["content"] == one.text else "CHANGED"


def through_exports(one: HostileText, folder: Path) -> str:
    """Write the text in every format and read it back."""
    if not one.storable:
        return "never there"
    same = 0
    for name in FORMATS:
        path = folder / f"{name}.jsonl"
        write(path, name, "jsonl", (one,))
        found = {text for row in read(path, name) for text in row}
        same += one.text in found
    return SAME if same == len(FORMATS) else f"{same} of {len(FORMATS)} formats: {SAME}"


def through_csv(one: HostileText, folder: Path) -> str:
    """Write a CSV for people."""
    if not one.storable:
        return "never there"
    path = folder / "people.csv"
    writer = CsvWriter(path, pyarrow.schema([("text", pyarrow.string())]))
    writer.write({"text": one.text})
    writer.close()
    with path.open(newline="", encoding="utf-8") as file:
        cell = list(csv.reader(file))[1][0]
    if cell == one.text == defused(one.text):
        return SAME
    return "defused" if cell == f"'{one.text}" else "CHANGED"


def through_terminal(one: HostileText, _folder: Path) -> str:
    """Write the text to a terminal."""
    out = io.StringIO()
    SafeTerminal(out).write(one.text)
    return _calm(one.text, out.getvalue(), keep="\n\t")


def through_log(one: HostileText, _folder: Path) -> str:
    """Log the text, plain."""
    record = logging.makeLogRecord({"msg": "%s", "args": (one.text,)})
    line = build_formatter(load_settings(), plain="%(message)s").format(record)
    return _calm(one.text, line, keep="\t")


def through_webhook(one: HostileText, _folder: Path) -> str:
    """Tell a webhook."""
    event = Event(id=1, kind="judgment.stored", detail={"said": one.text})
    body = body_of(Project(id=1, name="p"), event, "judgment.stored")
    told = json.loads(body)["data"]["said"]
    return SAME if told == one.text and body.isascii() and b"\n" not in body else "CHANGED"


def through_rationale(one: HostileText, _folder: Path) -> str:
    """Give the text as a reason."""
    try:
        kept = valid_rationale(one.text, PageSettings())
    except BadInput:
        return REFUSED
    return SAME if kept == one.text else "without NUL and halves"


def through_fields(one: HostileText, _folder: Path) -> str:
    """Name a snapshot, a tag, a language, a source, a model and an address so."""
    taken = {}
    for field, check in FIELDS.items():
        with suppress(BadInput):
            taken[field] = check(one.text)
    if not all(map(str.isprintable, taken.values())):
        return "COMMANDS"
    return ", ".join(taken) or REFUSED


def _calm(text: str, shown: str, *, keep: str) -> str:
    if printable(shown, keep=keep) != shown:
        return "COMMANDS"
    return SAME if shown == text else ESCAPED


@contextmanager
def on_the_page() -> Iterator[Way]:
    """Yield the way onto the ranking page, in a real browser; "not tried" where there is none."""
    program = find_chromium()
    if program is None:
        yield lambda one, folder: "not tried"
        return
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        stage = open_stage(context_for(browser))
        watch = Watch(stage.page, ADDRESS.rstrip("/"))

        def through_page(one: HostileText, _folder: Path) -> str:
            if not one.storable:
                return "never there"
            asked = [{"role": "user", "content": one.text}]
            stage.show(task([one.text, "other"], serial=one.name, messages=asked))
            watch.expect_nothing()
            shown = stage.card(0).evaluate("one => one.textContent")
            return "as text" if _letters(one.text) in _letters(shown) else "CHANGED"

        yield through_page
        browser.close()


def _letters(text: str) -> str:
    # The page sets code apart, and breaks lines its own way.
    return "".join(text.replace("```", "").split())


WAYS: dict[str, Way] = {
    "import": through_import,
    "every export, read back": through_exports,
    "CSV for people": through_csv,
    "terminal": through_terminal,
    "log": through_log,
    "webhook": through_webhook,
    "a reason": through_rationale,
    "names that take it": through_fields,
}


def table() -> str:
    """Return the table in Markdown, one row a text."""
    with tempfile.TemporaryDirectory() as name, on_the_page() as page:
        ways = {"page": page, **WAYS}
        heads = ["text", *ways]
        lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
        for one in TEXTS:
            cells = [way(one, Path(name)) for way in ways.values()]
            lines.append(f"| {' | '.join([one.name, *cells])} |")
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Print the table, or put it into the docs; return 1 where a text did what it must not."""
    made = table()
    if "--docs" in arguments:
        page = DOCS.read_text(encoding="utf-8")
        head, rest = page.split(START)
        DOCS.write_text(f"{head}{START}\n\n{made}\n{END}{rest.split(END)[1]}", encoding="utf-8")
    else:
        sys.stdout.write(made)
    return 1 if "CHANGED" in made or "COMMANDS" in made else 0


if __name__ == "__main__":
    os.environ.setdefault("RANKLOOP_HOME", tempfile.gettempdir())
    raise SystemExit(main(sys.argv[1:]))
