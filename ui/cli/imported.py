"""What the commands that bring data in do."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from labeling.imports.bad_rows import BadRows
from labeling.imports.completions import import_completions, stage_completions
from labeling.imports.preference_files import PromptDefaults, files_of, files_sha256
from labeling.imports.preferences import (
    StagedFile,
    count_in_words,
    import_staged,
    list_imports,
    refuse_second_import,
    staged_file,
)
from labeling.imports.prompts import import_prompts, staged_prompts
from labeling.imports.staging import Staging
from labeling.keys import key_of
from storage.engine import reading, writing
from storage.errors import BadInput
from storage.plurals import counted, form
from storage.settings import Settings
from storage.tables import Import, Split
from ui.cli.figures_ahead import leave_figures
from ui.cli.frame import on_terminal, project_of
from ui.database import open_database

NOTHING_TO_COMPARE = "nothing_to_compare"


@dataclass(frozen=True)
class Bringing:
    """What every import of judgments or completions is told."""

    file: Path
    split: str | None
    tags: tuple[str, ...]
    language: str
    source: str
    dry_run: bool
    skip_bad: Path | None
    as_json: bool
    license: str = ""

    @property
    def defaults(self) -> PromptDefaults:
        """Return what is said of prompts that do not say it."""
        return PromptDefaults(
            split=Split(self.split) if self.split else None,
            tags=self.tags,
            language=self.language,
            license=self.license,
        )


def add_prompts(
    settings: Settings,
    file: Path,
    *,
    tags: tuple[str, ...] = (),
    language: str = "",
    as_json: bool = False,
) -> None:
    """Import prompts, all or none."""
    engine, progress = open_database(settings), on_terminal(quiet=as_json)
    with reading(engine) as session:
        project_of(session, settings)
    with (
        staged_prompts(file, tags=tags, language=language, progress=progress) as prompts,
        writing(engine) as session,
    ):
        done = import_prompts(
            session,
            project=project_of(session, settings),
            prompts=prompts,
            heldout_share=settings.heldout_share,
            progress=progress,
        )
    if as_json:
        counts = {"added": done.added, "duplicates": done.duplicates, "total": done.total}
        click.echo(json.dumps(counts, indent=2))
        return
    click.echo(
        f"{counted(done.added, 'prompt')} added, {done.duplicates:,} "
        f"{form(done.duplicates, 'was', 'were')} there already; {done.total:,} in all."
    )


def add_preferences(
    settings: Settings, what: Bringing, *, format_: str, texts: Path | None, pseudonymous: bool
) -> None:
    """Import judgments, labels, demonstrations or prompts, all or none."""
    _refuse_early(settings, what)
    progress = on_terminal(quiet=what.as_json)
    with _bad_rows(what) as bad:
        with staged_file(
            what.file,
            format=format_,
            bad=bad,
            texts=texts,
            defaults=what.defaults,
            progress=progress,
        ) as staged:
            if what.dry_run:
                _tell_dry_run(staged, bad, what)
                return
            with writing(open_database(settings)) as session:
                row = import_staged(
                    session,
                    project=project_of(session, settings),
                    staged=staged,
                    by=None,
                    heldout_share=settings.heldout_share,
                    source=what.source,
                    pseudonymous=pseudonymous,
                    bad_rows=bad.count,
                    progress=progress,
                )
        _tell(row, bad, what)
    leave_figures(settings, new=int(row.counts.get("judgments", 0)), quiet=what.as_json)


def add_completions(
    settings: Settings, what: Bringing, *, model: str, overlap: int | None, priority: int
) -> None:
    """Import completions as tasks to rank, all or none."""
    _refuse_early(settings, what)
    progress = on_terminal(quiet=what.as_json)
    with _bad_rows(what) as bad, Staging() as staging:
        staged = stage_completions(
            staging, what.file, bad=bad, defaults=what.defaults, progress=progress
        )
        if what.dry_run:
            _tell_dry_run(staged, bad, what)
            return
        with writing(open_database(settings)) as session:
            row = import_completions(
                session,
                project=project_of(session, settings),
                staged=staged,
                by=None,
                heldout_share=settings.heldout_share,
                source=what.source,
                model=model,
                overlap=overlap,
                priority=priority,
                bad_rows=bad.count,
                progress=progress,
            )
        _tell(row, bad, what)


def show_imports(settings: Settings, *, as_json: bool) -> None:
    """List the project's imports."""
    with reading(open_database(settings)) as session:
        found = list_imports(session, project_id=key_of(project_of(session, settings)))
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    for one in found:
        click.echo(
            f"import {one['id']:<3} {one['created_at'][:16]}  {one['format']:<24} {one['file']}: "
            f"{_in_words(one['counts'])}"
        )


@contextmanager
def _bad_rows(what: Bringing) -> Iterator[BadRows]:
    if what.dry_run and what.skip_bad:
        raise BadInput("--dry-run writes no file; leave out --skip-bad to see what is bad.")
    bad = BadRows(file=what.skip_bad, strict=not what.dry_run)
    try:
        yield bad
        # After the import was stored: were it not, the file would tell of an import that is not.
        bad.keep()
    finally:
        bad.discard()


def _refuse_early(settings: Settings, what: Bringing) -> None:
    """Raise `Conflict` where the file was imported before, without reading its rows."""
    sha256 = files_sha256(files_of(what.file))
    with reading(open_database(settings)) as session:
        project_id = key_of(project_of(session, settings))
        refuse_second_import(session, project_id=project_id, sha256=sha256)


def _tell(row: Import, bad: BadRows, what: Bringing) -> None:
    if what.as_json:
        found = {"import": row.id, "format": row.format, "file": row.file_name, **row.counts}
        click.echo(json.dumps(found, indent=2))
        return
    click.echo(f"Import {row.id} ({row.format}): {_in_words(row.counts)}.")
    if bad.count:
        click.echo(f"Left out: {counted(bad.count, 'bad row')}, in {bad.file} with reasons.")


def _tell_dry_run(staged: StagedFile, bad: BadRows, what: Bringing) -> None:
    """Say what would be imported; raise `BadInput` where rows are bad."""
    counts = staged.counts
    if what.as_json:
        found = {"format": staged.format, **counts, "bad_rows": bad.count, "bad": bad.first}
        click.echo(json.dumps(found, indent=2))
    else:
        good = counts | {"rows": counts["rows"] - bad.count}
        only = " without the bad rows" if bad.count else ""
        click.echo(
            f"Nothing was changed. This would be imported{only} ({staged.format}): "
            f"{_in_words(good) or 'nothing'}."
        )
    if bad.count:
        for message in bad.first:
            click.echo(message, err=True)
        raise BadInput(
            f"{what.file} has {counted(bad.count, 'bad row')}, so nothing would be imported; mend "
            "the file, or import the other rows with --skip-bad BAD.jsonl."
        )


def _in_words(counts: Mapping[str, Any]) -> str:
    shown = [
        count_in_words(count, name)
        for name, count in counts.items()
        if name not in (NOTHING_TO_COMPARE, "bad_rows") and count
    ]
    alone = counts.get(NOTHING_TO_COMPARE)
    if alone:
        shown.append(f"{alone} left out that had nothing to be compared with")
    return ", ".join(shown)
