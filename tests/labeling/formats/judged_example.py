"""One example with everything in it, that every format is tried on."""

from datetime import UTC, datetime

from labeling.formats.example import Answer, Example, Ranking, WrittenAnswer

ASK = [{"role": "user", "content": "Why is the sky blue?"}]
MADE_AT = datetime(2026, 3, 1, 12, tzinfo=UTC)

ANSWERS = (
    Answer(31, "Light scatters.", 2, "second"),
    Answer(32, "It is not.", 1, "first"),
    Answer(33, "Because.", 2, "second", "length"),
)
ANN = Ranking(
    (1, 3, 2),
    annotator="annotator-a",
    judgment_id=7,
    likert={"helpful": [6, 1, 3], "honest": [7, 2, None]},
    checks={"safe": [True, True, None]},
    flags=("other",),
    rationale="The first explains.",
    milliseconds=4000,
    guideline_version=2,
    created_at=MADE_AT,
    reliability=0.9,
)
BOB = Ranking((1, 2, 2), annotator="annotator-b", judgment_id=8, created_at=MADE_AT)

#: Two annotators, three answers, one tie, no label of its own.
JUDGED = Example(
    prompt_id=5,
    task_id=9,
    messages=ASK,
    completions=ANSWERS,
    rankings=(ANN, BOB),
    policy_version=2,
    round=1,
    snapshot="snapshot-3-abc",
    source="mine",
    license="MIT",
    tags=("physics",),
    language="en",
    weight=0.2,
)
LABEL = Ranking((1, 3, 2), "dawid_skene", "consolidated", uncertainty=0.25)
#: Two answers, and how much better one is.
PAIR = Example(
    prompt_id=5,
    task_id=10,
    messages=ASK,
    completions=ANSWERS[:2],
    rankings=(Ranking((2, 1), "annotator-a", judgment_id=11, strength=3, created_at=MADE_AT),),
    policy_version=2,
    round=1,
    snapshot="snapshot-3-abc",
)
WRITTEN = Example(
    prompt_id=5,
    task_id=0,
    messages=ASK,
    demonstrations=(WrittenAnswer(4, "Rayleigh scattering.", "annotator-a", MADE_AT),),
    snapshot="snapshot-3-abc",
)
