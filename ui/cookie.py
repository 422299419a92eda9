"""The cookies (a sign-in's token, the language), and where one may be sent after signing in."""

from urllib.parse import urlsplit

COOKIE = "rankloop_sign_in"
# Kept after signing out: a browser that was signed in to an account does not wait for what
# strangers guessed wrong (labeling/people/failed_sign_ins.py). Sent to the sign-in page alone.
KNOWN_COOKIE = "rankloop_known"
KNOWN_PATH = "/login"
KNOWN_SECONDS = 90 * 24 * 3600
LANGUAGE_COOKIE = "rankloop_language"
LANGUAGE_SECONDS = 365 * 24 * 3600
# Longer than any sign-in: whether the token still counts is the database's to say, and a page
# that is open can only be told "sign in again" if its stale cookie still arrives.
COOKIE_SECONDS = 30 * 24 * 3600

# Not after signing in: these lead out again, or are no pages.
_NOWHERE = ("//", "/login", "/logout", "/join", "/oidc/", "/api/")


def safe_path(target: str | None) -> str:
    """Return `target` if it is a path on this server, else "/"."""
    if not target or not target.startswith("/") or target.startswith(_NOWHERE):
        return "/"
    if "\\" in target or any(ord(character) < 32 for character in target):
        return "/"
    parts = urlsplit(target)
    return "/" if parts.scheme or parts.netloc else target
