"""Passwords hashed in no time, for tests that are about something else."""

from collections.abc import Iterator
from functools import cache

import pytest
from argon2 import PasswordHasher

from labeling.people import passwords

#: the least work that Argon2id allows; what verifies a hash does as much as the hash itself says
CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


@cache
def cheap_hash(password: str) -> str:
    """Return the hash of a password, made once for all who have it."""
    return CHEAP.hash(password)


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Hash with the least work that Argon2id allows."""
    monkeypatch.setattr(passwords, "_HASHER", CHEAP)
    passwords.hash_of_nobody.cache_clear()
    yield
    passwords.hash_of_nobody.cache_clear()
