from collections.abc import Iterator

import pytest
from sqlalchemy import Engine

from storage.tables import Project
from tests.labeling.stage import Stage, set_stage
from tests.labeling.webhooks.receiver import SECRET, VARIABLES, Receiver, receiving


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, SECRET)
    with receiving() as found:
        yield found


@pytest.fixture
def stage(engine: Engine, project: Project) -> Stage:
    return set_stage(engine, project)
