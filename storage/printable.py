"""Text of strangers on a terminal or in a log: nothing in it commands, hides or begins a line."""

import re

# C0 and C1 controls (ANSI escapes begin with one), marks that turn the direction of what follows
# (Unicode TR 36, section 3.1), and the two separators that some programs take for new lines.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def printable(text: str, *, keep: str = "") -> str:
    """Return the text with each such character as an escape (`\\x1b`), but for those in `keep`."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
