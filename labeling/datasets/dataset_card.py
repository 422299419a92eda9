"""The card of an exported data set: a README.md with a YAML header, its figures and its limits."""

import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from labeling.datasets.file_types import FileType
from labeling.formats.example import EXPORT_SPLITS
from labeling.formats.field_words import field_words
from labeling.formats.registry import Format
from storage.clock import now
from storage.plurals import counted
from storage.tables import Project, Snapshot

if TYPE_CHECKING:
    from labeling.datasets.export_folder import Export

_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
#: What `datasets` reads a file as, by the first part of its type's name.
_LOADERS = {"jsonl": "json", "json": "json", "parquet": "parquet", "csv": "csv"}
_MARKUP = re.compile(r"[`|<>\[\]()!*_#\\\r\n]+")
_UNITS = {
    "pair": "one pair of answers, one of them ranked better. A ranking of K answers gives up to "
    "K·(K−1)/2 pairs; tied answers give none",
    "completion": "one answer that was ranked best or worst; answers between them, and rankings "
    "that tie all, give none",
    "task": "one task: a prompt, its answers, and every ranking of them",
    "prompt": "one prompt that was judged",
    "demonstration": "one answer that a person wrote",
}


def dataset_card(
    done: "Export", snapshot: Snapshot, *, project: Project, shape: Format, kind: FileType
) -> str:
    """Return the text of the card."""
    parts = [
        _header(done, snapshot.manifest, project, shape, kind),
        f"# Preferences of the project {_text(project.name)}\n",
        _what(done, shape, project),
        _figures(snapshot.manifest),
        _frozen(done, snapshot, shape),
        _fields(shape),
        _limits(snapshot, shape),
        _loading(done, kind),
    ]
    return "\n".join(parts)


def _header(
    done: "Export", manifest: dict[str, Any], project: Project, shape: Format, kind: FileType
) -> str:
    rows = sum(done.rows.values())
    size = next((name for most, name in _SIZES if rows < most), "n>1M")
    lines = [
        "---",
        # JSON strings are YAML strings, whatever the project is called.
        f"pretty_name: {json.dumps('Preferences of ' + project.name)}",
        f"license: {_licence(list(_licences(manifest, shape)))}",
        "tags:",
        *(f"- {tag}" for tag in ("preference", "rlhf", "rankloop", done.format)),
        "size_categories:",
        f"- {size}",
    ]
    if kind.name != "arrow":
        lines += ["configs:", "- config_name: default", "  data_files:"]
        for split in EXPORT_SPLITS:
            if done.rows[split]:
                lines += [f"  - split: {split}", f"    path: {split}.{kind.name}"]
    return "\n".join([*lines, "---", ""])


def _licences(manifest: dict[str, Any], shape: Format) -> dict[str, int]:
    """Return the licences of the prompts that the rows are of, each with how often it is there."""
    name = "demonstration_licences" if shape.unit == "demonstration" else "licences"
    found: dict[str, int] = manifest.get(name, {})
    return found


def _licence(found: list[str]) -> str:
    """Return the one licence of all prompts; "other" where they have several, or some have none."""
    known = found[0].strip().lower() if len(found) == 1 else ""
    return known if re.fullmatch(r"[a-z0-9.-]+", known) else "other"


def _what(done: "Export", shape: Format, project: Project) -> str:
    counts = [f"{done.rows[split]} {split}" for split in EXPORT_SPLITS]
    of = (
        counted(done.prompts, "prompt")
        if shape.unit in ("prompt", "demonstration")
        else f"{counted(done.judgments, 'ranking')} of {counted(done.tasks, 'task')} on "
        f"{counted(done.prompts, 'prompt')}"
    )
    system = (
        "The project had a system prompt, which is not in the rows.\n"
        if project.system_prompt
        else ""
    )
    return f"""Exported by Rankloop on {now():%Y-%m-%d}, format `{done.format}`: {shape.help}.
{", ".join(counts[:-1])} and {counts[-1]} rows from {of}. Each row is
{_UNITS[shape.unit]}.

No prompt is in two files. Test holds the prompts that the project keeps out of training for good;
validation is a share of the others, chosen by a hash of the prompt, the same in every export.
`weight` lets every prompt count the same, however many rows it has.
{system}"""


def _figures(manifest: dict[str, Any]) -> str:
    kinds = manifest.get("judgments_by_annotator_kind", {})
    rows = [
        ("judgments in the snapshot", manifest.get("judgments")),
        *((f"of them by annotators of kind {kind}", number) for kind, number in kinds.items()),
        ("of them leads' decisions", manifest.get("decisions")),
        ("annotators", manifest.get("annotators", len(manifest.get("judgments_by_annotator", {})))),
        ("judgments with ties", manifest.get("judgments_with_ties")),
        ("judgments that say how much better", manifest.get("judgments_with_strength")),
        ("demonstrations", manifest.get("demonstrations")),
        *_agreement(manifest.get("agreement", {})),
    ]
    table = "\n".join(f"| {name} | {value} |" for name, value in rows if value is not None)
    return f"## Figures\n\n| what | how much |\n|---|---|\n{table}\n"


def _agreement(found: dict[str, Any]) -> Iterator[tuple[str, str | int]]:
    if not found:
        return
    yield "tasks with two judgments or more", found["tasks_judged_twice"]
    for key, name in (
        ("pairwise_agreement", "pairwise agreement"),
        ("krippendorff_alpha", "Krippendorff's alpha (nominal, on pairs)"),
    ):
        figure = found[key]
        yield name, "not measurable" if figure["value"] is None else _interval(figure)


def _interval(figure: dict[str, Any]) -> str:
    value = f"{figure['value']:.3f}"
    if figure["low"] is None:
        return value
    return f"{value} (95 % interval over tasks {figure['low']:.3f} to {figure['high']:.3f})"


def _frozen(done: "Export", snapshot: Snapshot, shape: Format) -> str:
    manifest = snapshot.manifest
    tables = [
        ("Left out, and why", "reason", manifest.get("excluded", {})),
        ("Guideline versions", "version", manifest.get("guideline_versions", {})),
        ("Licences of the prompts", "licence", _licences(manifest, shape)),
        ("Policies", "version", manifest.get("judgments_by_policy_version", {})),
    ]
    query = {
        name: len(value) if name in ("annotators", "not_annotators") else value
        for name, value in snapshot.query.items()
    }
    asked = json.dumps(query, ensure_ascii=False) if query else "all that training may use"
    lines = [
        "## What was frozen\n",
        f"Snapshot `{done.snapshot}`, SHA-256 of its rows `{snapshot.rows_sha256}`, taken "
        f"{snapshot.created_at:%Y-%m-%d %H:%M} UTC with Rankloop {manifest.get('code_version')}. "
        f"Asked for: {_code(asked)}.\n",
    ]
    for title, column, counts in tables:
        if counts:
            rows = "\n".join(
                f"| {_text(str(name))} | {number} |" for name, number in counts.items()
            )
            of = "judgments"
            if column == "licence":
                of = "demonstrations" if shape.unit == "demonstration" else "tasks"
            lines.append(f"{title}:\n\n| {column} | {of} |\n|---|---|\n{rows}\n")
    return "\n".join(lines)


def _fields(shape: Format) -> str:
    names = list(shape.schema.names)
    if "metadata" in names and shape.name == "openai_preference":
        names += [field.name for field in shape.schema.field("metadata").type]
    rows = "\n".join(f"| `{name}` | {field_words(shape, name)} |" for name in names)
    return f"## Fields\n\n| field | meaning |\n|---|---|\n{rows}\n"


def _limits(snapshot: Snapshot, shape: Format) -> str:
    manifest = snapshot.manifest
    kinds = manifest.get("judgments_by_annotator_kind", {})
    measured = manifest.get("agreement", {}).get("tasks_judged_twice")
    limits = [
        "The answers are a language model's or came with an import, and were not checked for "
        "truth or harm; prompts may be rude.",
        "Annotators are pseudonyms; their texts were not searched for personal data.",
        "Pairs of one ranking depend on each other: draw samples by prompt or task, not by row.",
        *_LIMITS_OF_FORMAT.get(shape.name, ()),
    ]
    if not measured:
        limits.append("No task was judged twice: how far annotators agree is not known.")
    if "min_agreement" in snapshot.query:
        limits.append(
            "Tasks were chosen for their agreement: the figures of agreement above are of what was "
            "kept, not of the work."
        )
    if kinds.get("simulated"):
        limits.append("Some judgments are by simulated annotators, no people: see annotator_kind.")
    if kinds.get("model"):
        limits.append("Some judgments are by models, no people: see annotator_kind.")
    lines = "\n".join(f"- {limit}" for limit in limits)
    return f"## Known limits\n\n{lines}\n"


_LIMITS_OF_FORMAT = {
    "ultrafeedback": (
        "Scores are people's ratings, where they were asked for any, and null elsewhere: a rating "
        "is never made of a ranking.",
    ),
    "open_assistant": (
        "`rank` is null where a task has several rankings and the snapshot no consolidation rule; "
        "`ranks` in the events holds ties, which Open-Assistant's own `ranking` cannot.",
    ),
    "hh_rlhf": (
        "Where a text itself holds a line that looks like a turn, one of the two newlines before "
        "it was taken out, so that it cannot pretend to be one.",
    ),
    "label_studio": ("Annotators are in `annotator`: `completed_by` is for accounts of its own.",),
    "summarize_from_feedback": ("`extra.confidence` is null: nobody was asked its nine steps.",),
}


def _loading(done: "Export", kind: FileType) -> str:
    if kind.name == "arrow":
        code = 'from datasets import load_from_disk\n\nrows = load_from_disk("FOLDER")'
    else:
        files = {split: f"{split}.{kind.name}" for split in EXPORT_SPLITS if done.rows[split]}
        loader = _LOADERS[kind.name.partition(".")[0]]
        call = f'load_dataset("{loader}", data_files={files})'
        code = f"from datasets import load_dataset\n\nrows = {call}"
    return f"## Loading\n\n```python\n{code}\n```\n"


def _text(words: str) -> str:
    """Return words of somebody else's as text that Markdown shows as it is."""
    return " ".join(_MARKUP.sub(" ", words).split()) or "(no name)"


def _code(words: str) -> str:
    return f"`{' '.join(words.replace('`', ' ').split())}`"
