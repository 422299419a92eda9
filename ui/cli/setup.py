"""`rankloop init`: everything a first start needs, each part made once and then left alone."""

from collections.abc import Callable
from pathlib import Path

from sqlmodel import Session, select

from labeling.accounts import create_account, generate_password
from labeling.imports.prompts import add_starter_prompts, count_prompts
from labeling.policies import create_first_policy, list_policies
from labeling.projects import change_project, create_project, get_project
from storage.engine import build_engine, writing
from storage.errors import NotFound
from storage.home import prepare_home
from storage.migrate import upgrade
from storage.plurals import counted, form
from storage.settings import Settings
from storage.tables import Account, AccountKind, Project, Role
from ui.cli.frame import stepwise

Say = Callable[[str], object]
ADMIN = "admin"


def initialise(settings: Settings, *, say: Say) -> None:
    """Make what is missing and say what was there; the rows are stored in one transaction."""
    prepare_home(settings.home)
    say(f"Folder    {settings.home}")
    backup = upgrade(settings.url)
    say("Database  up to date" + (f" (the old one is kept as {backup.name})" if backup else ""))
    folder = _model_folder(settings)
    say(f"Model     {settings.model}" + (f" in {folder}" if str(folder) != settings.model else ""))
    with writing(build_engine(settings.url)) as session:
        project = _project(session, settings, say)
        _prompts(session, project, settings, say)
        _policy(session, project, settings, folder, say)
        password = _admin(session, say)
    if password:
        say(f"\nSign in as {ADMIN} with this password, shown only now: {password}\n")


def _model_folder(settings: Settings) -> Path:
    # Training's room is loaded here only: no other command of setting up needs it.
    from reward.language_models.models import model_folder

    return Path(model_folder(settings, stepwise()))


def _project(session: Session, settings: Settings, say: Say) -> Project:
    try:
        project = get_project(session, name=settings.project)
        say(f"Project   {project.name} is there")
        changes = change_project(session, project=project, settings=settings)
        for name, (old, new) in changes.items():
            say(f"          {name} was {old!r}, is {new!r} now")
        if changes:
            say("          a worker that runs takes this up when it is started again")
    except NotFound:
        project = create_project(session, name=settings.project, settings=settings)
        say(f"Project   {project.name} made")
    return project


def _prompts(session: Session, project: Project, settings: Settings, say: Say) -> None:
    assert project.id is not None
    count = count_prompts(session, project_id=project.id)
    if count:
        say(f"Prompts   {count:,} {form(count, 'is', 'are')} there")
        return
    added = add_starter_prompts(session, project=project, heldout_share=settings.heldout_share)
    say(f"Prompts   {counted(added.added, 'starter prompt')} added")


def _policy(session: Session, project: Project, settings: Settings, folder: Path, say: Say) -> None:
    assert project.id is not None
    policies = list_policies(session, project_id=project.id)
    if policies:
        say(f"Policy    version {policies[-1].version} is the newest")
        return
    inside = folder.is_relative_to(settings.home)
    uri = folder.relative_to(settings.home).as_posix() if inside else folder.as_posix()
    create_first_policy(session, project_id=project.id, name=settings.model, checkpoint_uri=uri)
    say("Policy    version 1 is live")


def _admin(session: Session, say: Say) -> str | None:
    """Make the admin where no person has an account yet, and return the password."""
    people = session.exec(select(Account.name).where(Account.kind == AccountKind.PERSON)).all()
    if people:
        say(f"Accounts  {len(people):,} {form(len(people), 'is', 'are')} there")
        return None
    password = generate_password()
    create_account(session, name=ADMIN, role=Role.ADMIN, password=password)
    say(f"Accounts  {ADMIN} made")
    return password
