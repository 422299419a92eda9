"""The fault run counts as acknowledged only what the page itself has named as done."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.persistent_annotator import PersistentAnnotator, Told

OLD = {"id": "old", "text": "could not reach its database"}
NEW = {"id": "new", "text": "could not reach its database"}
PENDING = {"nonce": "mine", "assignment": 1}


@pytest.mark.parametrize(
    ("data", "told", "refused", "still_pending"),
    [
        ({"assignment": 2, "done": "mine", "refusal": None}, 1, 0, False),
        ({"assignment": 2, "done": "mine", "refusal": OLD}, 1, 0, False),
        # The task was full: answered, and not stored.
        ({"assignment": 2, "done": "mine", "refusal": NEW}, 0, 1, False),
        ({"assignment": 1, "done": "", "refusal": NEW}, 0, 1, True),
        # The submit was lost and the lease ran out meanwhile.
        ({"assignment": 2, "done": "", "refusal": None}, 0, 0, True),
        ({"assignment": 2, "done": "another", "refusal": OLD}, 0, 0, True),
        # A page without a task: a warning, or nothing is left.
        (None, 0, 0, True),
    ],
)
def test_what_a_page_says_after_a_submit(
    data: dict[str, Any] | None, told: int, refused: int, still_pending: bool
) -> None:
    person = PersistentAnnotator(cast(Any, None), cast(Any, None), "ann-1", Told())
    person.page = cast(Any, SimpleNamespace(data=data))
    person.pending, person.ranks = dict(PENDING), [1, 2, 3, 4]
    person._hear("mine", OLD)
    assert [len(person.told.acknowledged), person.told.refused] == [told, refused]
    assert (person.pending is not None) is still_pending
