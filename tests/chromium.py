"""Where a Chromium lies that Playwright may start."""

import os
import shutil
from pathlib import Path

# The headless build comes first: the same engine without a window, and it starts sooner.
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """Return the Chromium to give Playwright as `executable_path` (with `--no-sandbox`), or None.

    The system's comes before the ones that `playwright install` keeps.
    """
    for name in NAMES:
        if found := shutil.which(name):
            return found
    root = Path(os.environ.get("PLAYWRIGHT_BROWSERS_PATH", Path.home() / ".cache/ms-playwright"))
    return next(map(str, root.glob("chromium-*/chrome-linux*/chrome")), None)
