"""A trainer that ends: what it said last is why."""

import logging
import os
import sys
import time

import pytest

from reward.training.trainer_process import TrainerProcess

RAISED_BY_THE_DATABASE = """
from sqlalchemy import create_engine, text
with create_engine("sqlite://").connect() as connection:
    connection.execute(text("SELECT version\\n FROM policy"))
"""
RAISED_WITH_MORE_LINES = r"""
raise OSError("the server closed the connection\n\tThis probably means that it died\n\tby itself.")
"""
ONE_SENTENCE = "import sys; sys.exit('The model cannot be read.')"


@pytest.mark.parametrize(
    ("program", "why"),
    [
        (RAISED_BY_THE_DATABASE, "sqlalchemy.exc.OperationalError: (sqlite3.OperationalError) no "
         "such table: policy"),
        (RAISED_WITH_MORE_LINES, "OSError: the server closed the connection"),
        (ONE_SENTENCE, "The model cannot be read."),
    ],
)  # fmt: skip
def test_the_last_error_says_why_and_not_where(program: str, why: str) -> None:
    command = [sys.executable, "-c", program]
    child = TrainerProcess(command, environment=os.environ, log=logging.getLogger("quiet"))
    while child.poll() is None:
        time.sleep(0.05)
    assert child.end() == 1
    assert child.last_error == why
