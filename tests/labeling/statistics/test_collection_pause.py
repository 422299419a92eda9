"""The collector pauses while rows are read, by however many at once, and goes on after."""

import gc
from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from labeling.statistics.collection_pause import no_collection
from labeling.statistics.driver_rows import driver_rows
from storage.engine import reading


@pytest.fixture(autouse=True)
def collecting() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def test_it_goes_on_when_the_last_pause_ends_and_after_an_error() -> None:
    with no_collection():
        with pytest.raises(ValueError), no_collection():
            raise ValueError
        assert not gc.isenabled()
    assert gc.isenabled()


def test_who_had_it_switched_off_finds_it_so() -> None:
    gc.disable()
    with no_collection():
        pass
    assert not gc.isenabled()


def test_it_goes_on_after_the_last_row_and_where_nobody_takes_the_rest(engine: Engine) -> None:
    numbers = text("SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3")
    with reading(engine) as session:
        batches = driver_rows(session, numbers)
        assert [tuple(row) for row in next(batches)] == [(1,)] and not gc.isenabled()
        assert [tuple(row) for row in next(batches)] == [(2,), (3,)]
        assert list(batches) == [] and gc.isenabled()
        left = driver_rows(session, numbers)
        next(left)
        del left
        assert gc.isenabled()
