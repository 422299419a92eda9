from datetime import UTC, datetime

from labeling.withdrawals.traces import ExportUse, Touched
from ui.withdrawal_words import lines_of


def export(day: int, format: str, snapshot_id: int | None) -> ExportUse:
    return ExportUse(datetime(2026, 3, day, 9, tzinfo=UTC), "ada", format, snapshot_id)


def test_exports_alike_are_one_line() -> None:
    exports = (
        *(export(1, "ranking", 3), export(2, "hh_rlhf", 3), export(4, "ranking", 3)),
        *(export(3, "ranking", 3), export(5, "ranking", None)),
    )
    found = Touched(
        judgments=2, tasks=1, annotators=(), demonstrations=0, snapshots=(), rounds=(),
        policies=(), exports=exports,
    )  # fmt: skip
    assert lines_of(found)[1:] == [
        "Exported 3 times, last on 2026-03-04 09:00 by ada: snapshot 3, ranking.",
        "Exported on 2026-03-02 09:00 by ada: snapshot 3, hh_rlhf.",
        "Exported on 2026-03-05 09:00 by ada: the whole project, ranking.",
    ]
