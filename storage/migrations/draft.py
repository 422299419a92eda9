"""Write the migration that leads from the newest revision to the tables as they are in the code.

    python -m storage.migrations.draft "add a column to round"

Read what it wrote: a renamed column looks to it like one dropped and one added.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config

from storage.migrate import alembic_config, migrating, revisions, upgrade


def draft(message: str) -> None:
    """Add a file to `storage/migrations/versions`, numbered after the newest revision."""
    with TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'draft.db'}"
        if revisions():
            upgrade(url)
        number = f"{len(revisions()) + 1:04d}"
        with migrating(url) as connection:
            config = alembic_config(connection)
            _format_with_ruff(config)
            command.revision(config, message=message, autogenerate=True, rev_id=number)


def _format_with_ruff(config: Config) -> None:
    options = {
        "hooks": "ruff",
        "ruff.type": "module",
        "ruff.module": "ruff",
        "ruff.options": "format REVISION_SCRIPT_FILENAME",
    }
    for name, value in options.items():
        config.set_section_option("post_write_hooks", name, value)


if __name__ == "__main__":
    draft(" ".join(sys.argv[1:]) or "Tables")
