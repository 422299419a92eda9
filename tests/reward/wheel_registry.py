"""A wheel as pip takes it, in a folder that is the only place where pip looks."""

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest


def serve_wheel(
    registry: Path, package: str, files: Mapping[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> Path:
    """Write version 1.0 of a package that holds these files; return the wheel."""
    registry.mkdir()
    wheel = registry / f"{package}-1.0-py3-none-any.whl"
    about = f"{package}-1.0.dist-info"
    name = package.replace("_", "-")
    with zipfile.ZipFile(wheel, "w") as archive:
        for path, content in files.items():
            archive.writestr(path, content)
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(registry))
    return wheel
