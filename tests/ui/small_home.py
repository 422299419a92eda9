"""A home that is made from a copied database: quicker than one whose migrations run."""

import shutil
from pathlib import Path

from labeling.policies import create_first_policy
from labeling.projects import create_project
from storage.engine import build_engine, writing
from storage.settings import load_settings
from tests.sample_rows import add_account, add_judgments
from tests.ui.conftest import Home


def small_home(folder: Path, template: Path, *, judgments: int = 0) -> Home:
    """Return a home with a project, a policy, and as many judgments of `ann`."""
    folder.mkdir(parents=True)
    shutil.copyfile(template, folder / "rankloop.db")
    settings = load_settings(home=folder)
    engine = build_engine(settings.url)
    with writing(engine) as session:
        project = create_project(session, name="default", settings=settings)
        policy = create_first_policy(
            session, project_id=project.id or 0, name="tiny", checkpoint_uri="models/tiny"
        )
    if judgments:
        add_judgments(engine, project, policy, add_account(engine), count=judgments)
    return Home(settings, engine, project.id or 0)
