"""The version of the code that made a data set."""

from importlib.metadata import PackageNotFoundError, version


def code_version() -> str:
    """Return the version of rankloop that is running."""
    try:
        return version("rankloop")
    except PackageNotFoundError:
        return "unknown"
