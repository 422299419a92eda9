"""Passwords: how they are hashed and checked, and which are refused."""

import hashlib
import secrets
from functools import cache
from pathlib import Path
from threading import BoundedSemaphore

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from labeling.people.breached_passwords import is_breached
from storage.errors import BadInput

MINIMUM_PASSWORD = 8
# argon2-cffi's defaults: Argon2id with RFC 9106's low-memory parameters.
_HASHER = PasswordHasher()
# Each takes 64 MiB and a core: of this process, whoever asks on whichever page.
_HASHING = BoundedSemaphore(2)


def generate_password() -> str:
    """Return a random password of 128 bits, safe to print and to type."""
    return secrets.token_urlsafe(16)


def hash_password(password: str, *, breached: Path | None = None) -> str:
    """Return the Argon2id hash of a new password; raise `BadInput` where it may not be one.

    `breached` is the file or folder of passwords that are known to thieves; None: not asked.
    """
    if len(password) < MINIMUM_PASSWORD:
        raise BadInput(f"The password is too short; use at least {MINIMUM_PASSWORD} characters.")
    if breached is not None and is_breached(password, breached):
        raise BadInput(
            "This password is on a list of stolen ones, so others will try it; choose another."
        )
    with _HASHING:
        return _HASHER.hash(password)


def fits(stored: str, password: str) -> bool:
    """Say whether `password` is the one whose hash was stored."""
    try:
        with _HASHING:
            return _HASHER.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False


@cache
def hash_of_nobody() -> str:
    """Return the hash of a password that nobody knows: to be checked where there is no account."""
    return _HASHER.hash(secrets.token_urlsafe(16))


def digest(secret: str) -> str:
    """Return the SHA-256 in hex of a random secret, as the database keeps it."""
    return hashlib.sha256(secret.encode("utf-8", errors="replace")).hexdigest()
