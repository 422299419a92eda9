from collections.abc import Iterator

import pytest

from tests.labeling.webhooks.receiver import SECRET, VARIABLE, Receiver, receiving


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    monkeypatch.setenv(VARIABLE, SECRET)
    with receiving() as found:
        yield found
