import altair
import pandas
import pytest

from ui.charts import interval_chart, ready_charts
from ui.quality import agreement_tables, annotator_tables

TABLE = pandas.DataFrame(
    {"who": ["b", "c", "a"], "value": [0.4, None, 0.2], "low": 0.1, "high": 0.5}, dtype=object
)


def test_a_chart_has_the_rows_that_have_a_value_in_their_order() -> None:
    spec = interval_chart.intervals(TABLE, name="who", title="share")
    rows = spec["datasets"]["rows"]
    assert rows["who"].tolist() == ["b", "a"]
    assert rows["value"].dtype == float
    assert {layer["encoding"]["y"]["sort"] for layer in spec["layer"]} == {None}
    # Altair checks what it reads against the schema of Vega-Lite.
    plain = {**spec, "datasets": {"rows": rows.to_dict("records")}}
    assert altair.Chart.from_dict(plain).to_dict()["data"] == {"name": "rows"}


def test_a_long_title_has_lines_that_a_phone_has_room_for() -> None:
    title = "Krippendorff's alpha of the ranks of completions, 95 % interval"
    spec = interval_chart.intervals(TABLE, name="who", title=title)
    (axis,) = [
        layer["encoding"]["x"] for layer in spec["layer"] if layer["mark"]["type"] == "point"
    ]
    assert " ".join(axis["title"]) == title
    assert max(map(len, axis["title"])) <= 44


def test_pages_fill_charts_that_were_written_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    agreement_tables.write_charts()
    annotator_tables.write_charts()

    def written_again(chart: object) -> ready_charts.Spec:
        raise AssertionError("a chart was written anew")

    monkeypatch.setattr(interval_chart, "written", written_again)
    table = TABLE.rename(columns={"who": "Measure"})
    found = interval_chart.intervals(table, name="Measure", title="value, 95 % interval")
    assert len(found["datasets"]["rows"]) == 2
    with pytest.raises(AssertionError, match="written anew"):
        interval_chart.intervals(TABLE, name="who", title="never asked for")
