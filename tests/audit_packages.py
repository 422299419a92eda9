"""Look the installed packages up in the Python Packaging Advisory Database (`make lint`).

Advisories that nothing can be done about are named below with the reason. Where the database cannot
be reached nothing was looked up: that is said, and fails only where it must not (`--required`).
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

SECONDS = 180
#: Advisories that are passed over: their id, and why they do no harm here.
ACCEPTED: dict[str, str] = {}
UNREACHABLE = (
    "pip-audit: the advisory database cannot be reached from here, so no package was looked up. "
    "Run `make lint` where pypi.org can be reached before a release."
)


def main(arguments: list[str]) -> int:
    """Print what was found; return 1 where a package has an advisory that is not accepted."""
    found = audited()
    unaudited = [one["name"] for one in found or [] if "skip_reason" in one]
    if found is None or len(unaudited) > len(found) // 2:
        sys.stderr.write(f"{UNREACHABLE}\n")
        return 1 if "--required" in arguments else 0
    lines = list(advisories(found))
    for line in lines:
        sys.stderr.write(f"{line}\n")
    sys.stdout.write(f"pip-audit: {len(found) - len(unaudited)} packages looked up, "
                     f"{len(lines)} to mend, {len(ACCEPTED)} accepted.\n")  # fmt: skip
    return 1 if lines else 0


def audited() -> list[dict[str, Any]] | None:
    """Return the packages as pip-audit reports them; None where it got no answer."""
    program = Path(sys.executable).with_name("pip-audit")
    try:
        done = subprocess.run(
            [program, "--skip-editable", "--progress-spinner", "off", "--format", "json"],
            capture_output=True, text=True, timeout=SECONDS,
        )  # fmt: skip
        return list(json.loads(done.stdout)["dependencies"])
    except (OSError, ValueError, KeyError, subprocess.TimeoutExpired):
        return None


def advisories(found: list[dict[str, Any]]) -> list[str]:
    """Return a line about each advisory that is not accepted."""
    return [
        f"{one['name']} {one['version']}: {each['id']}, mended in "
        f"{', '.join(each.get('fix_versions', [])) or 'no release yet'}"
        for one in found
        for each in one.get("vulns", [])
        if not {each["id"], *each.get("aliases", [])} & set(ACCEPTED)
    ]


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
