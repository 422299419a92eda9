"""What Label Studio's JSON may hold that no person could have given."""

import json
from pathlib import Path
from typing import Any

import pytest

from labeling.imports.preference_rows import label_studio
from labeling.imports.preference_rows.fields import name_in
from labeling.imports.preference_rows.imported import ImportedRanking
from labeling.imports.row_files import Place
from storage.errors import BadInput


def read(*, lead_time: str = "1.5", ranker: Any = ("1", "2")) -> ImportedRanking:
    value = {"type": "ranker", "from_name": "r", "to_name": "i", "value": {"ranker": ranker}}
    items = [{"id": "1", "body": "yes"}, {"id": "2", "body": "no"}]
    annotation = {"id": 5, "completed_by": 1, "lead_time": None, "result": [value]}
    row = {"id": 1, "data": {"prompt": "Well?", "items": items}, "annotations": [annotation]}
    text = json.dumps(row).replace('"lead_time": null', f'"lead_time": {lead_time}')
    place = Place(Path("tasks.json"), 1, label_studio.SHAPE)
    (found,) = label_studio.read(json.loads(text), place)
    assert isinstance(found, ImportedRanking)
    return found


@pytest.mark.parametrize(("lead_time", "milliseconds"), [("1.5", 1500), ("null", 0), ("0", 0)])
def test_the_time_is_kept_where_it_is_said(lead_time: str, milliseconds: int) -> None:
    assert read(lead_time=lead_time).milliseconds == milliseconds


@pytest.mark.parametrize("lead_time", ["1e999", "NaN", "-1", "9" * 400])
def test_a_time_that_is_none_is_named(lead_time: str) -> None:
    with pytest.raises(BadInput, match="lead_time"):
        read(lead_time=lead_time)


def test_a_bucket_of_thousands_of_digits_is_no_rank() -> None:
    with pytest.raises(BadInput, match="buckets named 1, 2, 3"):
        read(ranker={"1": ["1"], "9" * 5000: ["2"]})


def test_an_annotator_may_be_a_number_of_any_size() -> None:
    place = Place(Path("tasks.json"), 1, label_studio.SHAPE)
    assert name_in(7.0, place, "annotator") == "7"
    with pytest.raises(BadInput, match="at most"):
        name_in(10**400, place, "annotator")
