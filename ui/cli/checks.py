"""The checks of `rankloop doctor`: each returns what it found, or raises one sentence."""

import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from labeling.policies import list_policies, live_policy
from labeling.projects import get_project
from storage.blobs import is_there, local_path, verify
from storage.clock import now
from storage.engine import build_engine, reading
from storage.errors import Unavailable
from storage.home import prepare_home
from storage.moving.backup import MODELS
from storage.settings import Settings
from storage.sqlite_writer import writer_of
from storage.tables import Policy, Project, WorkerLease
from ui.cli import running_checks
from ui.database import open_database

LEAST_FREE_GIB = 2.0
DEVICE_SECONDS = 120


def python(_settings: Settings) -> str:
    """Say which Python this is (an older one than allowed cannot be installed into)."""
    return f"{platform.python_version()} on {platform.system()} {platform.machine()}"


def home(settings: Settings) -> str:
    """Check that the folder is there and takes files."""
    if not settings.home.is_dir():
        raise Unavailable(f"The folder {settings.home} does not exist; run `rankloop init`.")
    return f"{prepare_home(settings.home)} can be written to"


def disk(settings: Settings) -> str:
    """Check that the disk of the folder has room for checkpoints."""
    existing = next(each for each in (settings.home, *settings.home.parents) if each.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < LEAST_FREE_GIB:
        raise Unavailable(
            f"Only {free:.1f} GiB are free at {existing}; make room for at least "
            f"{LEAST_FREE_GIB:.0f} GiB of checkpoints."
        )
    return f"{free:.0f} GiB free"


def database(settings: Settings) -> str:
    """Check that the database opens and answers, and that nobody keeps others from writing."""
    file = make_url(settings.url).database
    if settings.url.startswith("sqlite") and not Path(str(file)).exists():
        where = Path(str(file)).absolute()
        raise Unavailable(f"There is no database at {where}; run `rankloop init` to make it.")
    engine = build_engine(settings.url)
    try:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
    except DBAPIError as error:
        reason = str(error.orig).strip().splitlines()[0]
        raise Unavailable(
            f"The database {engine.url!r} does not answer ({reason}); start it, or mend "
            "RANKLOOP_DATABASE_URL."
        ) from error
    finally:
        engine.dispose()
    writer = writer_of(Path(str(file))) if engine.dialect.name == "sqlite" else None
    if writer is not None and writer.stopped:
        raise Unavailable(
            f"Process {writer.pid} was stopped in the midst of a write, and nobody else can write; "
            f"let it go on (kill -CONT {writer.pid}) or end it (kill -9 {writer.pid}): nothing "
            "that was stored is lost."
        )
    return f"{engine.dialect.name} answers"


def project(settings: Settings) -> str:
    """Check that the project exists."""
    with reading(open_database(settings)) as session:
        get_project(session, name=settings.project)
    return f"{settings.project} is there"


def model(settings: Settings) -> str:
    """Check that policy version 1 is there and whole: every later one is adapters on it."""
    return _checked(settings, _policies(settings)[0])


def policy(settings: Settings) -> str:
    """Check that the live policy's checkpoint is there and whole."""
    first, live = _policies(settings)
    if live.id == first.id:
        return f"{_in_words(live)} is live, the model itself"
    return f"live: {_checked(settings, live)}"


def _policies(settings: Settings) -> tuple[Policy, Policy]:
    """Return the first policy and the live one."""
    with reading(open_database(settings)) as session:
        found = get_project(session, name=settings.project)
        assert found.id is not None
        live = live_policy(session, project_id=found.id)
        return list_policies(session, project_id=found.id)[0], live


def _in_words(policy: Policy) -> str:
    return f"policy {policy.version} ({policy.name or policy.checkpoint_uri})"


def _checked(settings: Settings, policy: Policy) -> str:
    folder = local_path(settings.home, policy.checkpoint_uri)
    name = _in_words(policy)
    if not policy.checkpoint_uri or not folder.is_dir():
        raise Unavailable(
            f"The checkpoint of {name} is missing at {folder}; {_mended(settings, policy)}."
        )
    # A model folder of the user's own has no manifest: it can only be there or not.
    if not (Path(folder) / "manifest.json").exists():
        return f"{name} is there, without hashes to check"
    verify(settings.home, policy.checkpoint_uri)
    return f"{name} is whole"


def _mended(settings: Settings, policy: Policy) -> str:
    """Say how a checkpoint comes back: models that came with rankloop are in no backup."""
    came_with_it = Path(policy.checkpoint_uri).parts[:1] == (MODELS,)
    if came_with_it and policy.name == settings.model:
        return "run `rankloop init`, which fetches it anew"
    return "restore that folder"


def worker(settings: Settings) -> str:
    """Say whether a worker is alive; none is no fault."""
    with reading(open_database(settings)) as session:
        row = session.exec(
            select(WorkerLease, Project).where(
                WorkerLease.project_id == Project.id, Project.name == settings.project
            )
        ).first()
    if row is None:
        return "none has run yet"
    lease = row[0]
    age = (now() - lease.heartbeat_at).total_seconds()
    alive = "alive" if lease.expires_at > now() else "gone"
    return f"{alive}: {lease.owner}, heard of {age:.0f} s ago; {lease.doing or 'idle'}"


def launcher(settings: Settings) -> str:
    """Check that what starts training can: its program is here, its template is sound."""
    from reward.running.launch_template import check_launcher

    return check_launcher(settings)


def store(settings: Settings) -> str:
    """Check that the object store of checkpoints answers; what it lets write, a round shows."""
    if not settings.checkpoint_store:
        return "checkpoints are put under home"
    is_there(settings.home, settings.checkpoint_store)
    return f"{settings.checkpoint_store} answers"


def curves(settings: Settings) -> str:
    """Return which tool gets the curves of training beside the pages."""
    from reward.training.tracking import check_report_to

    check_report_to(settings.report_to)
    return f"report_to is {settings.report_to}"


def port(settings: Settings) -> str:
    """Say whether the port is free; a server that answers there is no fault."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        taken = probe.connect_ex((settings.host, settings.port)) == 0
    state = "something answers there (a running server?)" if taken else "free"
    return f"{settings.host}:{settings.port} is {state}"


def device(settings: Settings) -> tuple[bool, str]:
    """Ask another process which device trains here: a broken torch cannot break this one."""
    module = "reward.language_models.devices"
    code = f"import sys; from {module} import describe_device as d; print(d(sys.argv[1]))"
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, settings.device],
            capture_output=True,
            text=True,
            timeout=DEVICE_SECONDS,
        )
    except subprocess.TimeoutExpired:
        return False, f"torch did not answer within {DEVICE_SECONDS} s"
    if done.returncode == 0:
        return True, done.stdout.strip()
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return False, lines[-1] if lines else f"torch ended with exit code {done.returncode}"


ALL: dict[str, Callable[[Settings], str]] = {
    "python": python,
    "home": home,
    "disk": disk,
    "database": database,
    "migrations": running_checks.migrations,
    "project": project,
    "model": model,
    "policy": policy,
    "worker": worker,
    "lease": running_checks.lease,
    "clock": running_checks.clock,
    "gpu": running_checks.gpu,
    "launcher": launcher,
    "store": store,
    "curves": curves,
    "port": port,
}
