"""Tests of people: their passwords are hashed in no time."""

from tests.cheap_hashes import cheap_hashes

__all__ = ["cheap_hashes"]
