"""What to do where a test needs something that is not installed."""

import os
from typing import NoReturn

import pytest


def missing(what: str, remedy: str) -> NoReturn:
    """Skip the test and say why; under CI=true fail it, so that nothing goes unchecked there."""
    message = f"{what} is not installed; {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)
