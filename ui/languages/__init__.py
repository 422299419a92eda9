"""The words of the pages that annotators see: one JSON file for each language, flat, key to text.

`docs/languages.md` says how to add one.
"""

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent
DEFAULT = "en"
# "name#one" and "name#other" are the plural forms of "name" (CLDR's names for them).
PLURAL = "#"

_PLACE = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Words:
    """Hold one language: its code (`en`), its direction (`ltr` | `rtl`), its texts by key."""

    language: str
    direction: str
    texts: dict[str, str]

    def say(self, key: str, **values: object) -> str:
        """Return the text of `key` with `values` in its places; the key itself where it has none.

        `count` chooses the plural form: `one` for 1, `other` for all else (the browser knows every
        form; texts that Python says must read well with these two).
        """
        form = "one" if values.get("count") == 1 else "other"
        text = (
            self.texts.get(f"{key}{PLURAL}{form}")
            or self.texts.get(f"{key}{PLURAL}other")
            or self.texts.get(key, key)
        )
        return _PLACE.sub(lambda found: str(values.get(found[1], found[0])), text)


@cache
def languages() -> dict[str, str]:
    """Return the languages there are, code to own name ("zh" to "中文"), the default one first."""
    codes = sorted((path.stem for path in FOLDER.glob("*.json")), key=lambda code: code != DEFAULT)
    return {code: _texts(code)["language.name"] for code in codes}


def base_of(key: str) -> str:
    """Return the key without its plural form."""
    return key.partition(PLURAL)[0]


def words_for(accepted: str | None, chosen: str | None) -> Words:
    """Return the words of the language that was `chosen`, or that a browser would rather read.

    `accepted` is an Accept-Language header (RFC 9110, section 12.5.4). A language without a file
    is passed over, and English is what is left; a text without a translation is English, too.
    """
    wanted = [chosen] if chosen else []
    for tag in wanted + _by_preference(accepted or ""):
        code = _known(tag)
        if code is not None:
            return _words(code)
    return _words(DEFAULT)


def _by_preference(accepted: str) -> list[str]:
    tags: list[tuple[float, str]] = []
    for part in accepted.split(","):
        tag, _, quality = part.strip().partition(";")
        found = re.fullmatch(r"\s*q\s*=\s*([01](?:\.\d{0,3})?)\s*", quality)
        weight = float(found[1]) if found else 1.0
        if tag and weight > 0:
            tags.append((weight, tag))
    return [tag for _, tag in sorted(tags, key=lambda each: -each[0])]


def _known(tag: str) -> str | None:
    """Return the code of the file for a language tag: `zh-Hans-CN`, else `zh-Hans`, else `zh`."""
    files = {code.lower(): code for code in languages()}
    parts = tag.strip().lower().replace("_", "-").split("-")
    while parts:
        if (code := files.get("-".join(parts))) is not None:
            return code
        parts.pop()
    return None


@cache
def _words(code: str) -> Words:
    own = _texts(code)
    bases = {base_of(key) for key in own}
    lent = {key: text for key, text in _texts(DEFAULT).items() if base_of(key) not in bases}
    texts = {**lent, **own, "language": code}
    return Words(language=code, direction=texts["direction"], texts=texts)


@cache
def _texts(code: str) -> dict[str, str]:
    texts: dict[str, str] = json.loads((FOLDER / f"{code}.json").read_text(encoding="utf-8"))
    return texts
