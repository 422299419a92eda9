import pandas

from ui.charts import matrix_chart
from ui.charts.natural_order import by_name, natural


def test_numbers_in_names_go_by_their_size() -> None:
    names = ["sim-10", "Ada", "sim-2", "7", "ada 3 (file-12)", "ada 3 (file-9)", ""]
    assert sorted(names, key=natural) == [
        *("", "7", "Ada", "ada 3 (file-9)", "ada 3 (file-12)", "sim-2", "sim-10")
    ]


def test_rows_keep_what_is_beside_a_name() -> None:
    table = pandas.DataFrame({"name": ["b-10", "b-9"], "n": [1, 2]}, index=[5, 6])
    assert by_name(table).to_dict("list") == {"name": ["b-9", "b-10"], "n": [2, 1]}
    assert by_name(table).index.tolist() == [6, 5]
    assert by_name(table.head(0)).empty


def test_a_square_has_both_its_sides_in_that_order() -> None:
    two = [("a-10", "a-9"), ("a-9", "a-2"), ("a-2", "a-10")]
    table = pandas.DataFrame(
        [
            {
                "annotator_id": 1,
                "other_id": 2,
                "name": one,
                "other": other,
                "agreement": 0.5,
                "n": 3,
            }
            for first, second in two
            for one, other in ((first, second), (second, first))
        ]
    )
    spec = matrix_chart.matrix(table, value="agreement", title="agreement", form=".0%", key="two")
    rows = spec["datasets"]["rows"]
    place = {"a-2": 0, "a-9": 1, "a-10": 2}
    assert rows["row"].tolist() == [place[name] for name in rows["name"]]
    assert rows["column"].tolist() == [place[name] for name in rows["other"]]
    for layer in spec["layer"]:
        assert layer["encoding"]["y"]["sort"] == {"field": "row", "op": "min"}
        assert layer["encoding"]["x"]["sort"] == {"field": "column", "op": "min"}
