"""What a row of each format looks like: the same code on one made-up ranking of two answers."""

from datetime import UTC, datetime
from typing import Any

from labeling.formats.example import Answer, Example, Ranking, WrittenAnswer
from labeling.formats.registry import Format

_AT = datetime(2026, 1, 5, 9, 30, tzinfo=UTC)
_JUDGED = Example(
    prompt_id=17,
    task_id=42,
    messages=[{"role": "user", "content": "Why is the sky blue?"}],
    completions=(
        Answer(101, "Air scatters blue light more than red.", 2, "version 2"),
        Answer(102, "Because it mirrors the sea.", 1, "version 1"),
    ),
    rankings=(
        Ranking(
            (1, 2),
            annotator="annotator-3f9c01d2a7be",
            judgment_id=7,
            strength=3,
            rationale="The second is wrong.",
            milliseconds=21_500,
            guideline_version=1,
            created_at=_AT,
        ),
    ),
    policy_version=2,
    round=1,
    snapshot="snapshot-1-0b7d2f61c5aa",
    source="example",
    license="CC0-1.0",
    tags=("science",),
    language="en",
)
_WRITTEN = Example(
    prompt_id=_JUDGED.prompt_id,
    task_id=0,
    messages=_JUDGED.messages,
    demonstrations=(
        WrittenAnswer(5, "Air scatters short waves most.", "annotator-3f9c01d2a7be", _AT),
    ),
    snapshot=_JUDGED.snapshot,
)


def sample_row(shape: Format) -> dict[str, Any]:
    """Return the format's first row of a made-up example; no project's data is in it."""
    return next(shape.rows(_WRITTEN if shape.unit == "demonstration" else _JUDGED))
