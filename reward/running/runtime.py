"""What the training process holds: project, settings, profile, backbone and policies."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Engine
from sqlmodel import Session, select

from labeling.events import record
from labeling.keys import key_of
from labeling.policies import live_policy
from labeling.projects import get_project
from reward.generation.generator import Generator
from reward.generation.policy_generator import policy_generator
from reward.language_models.backbone import Backbone, load_backbone
from reward.language_models.devices import describe_device, find_device
from reward.language_models.models import check_model_folder, is_embedded, model_folder
from reward.language_models.profiles import training_profile
from storage.blobs import MANIFEST, checked_path, local_path, verify
from storage.engine import reading, writing
from storage.errors import Unavailable
from storage.settings import Settings
from storage.tables import Policy, PolicyStatus, Project

log = logging.getLogger(__name__)

LIVE = "live"  # the adapter that completions are sampled with


class Runtime:
    """One project's models in this process; the backbone is loaded when first asked for."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        """Read the project and choose the profile of the device."""
        self.engine = engine
        self.settings = settings
        with reading(engine) as session:
            self._project: Project = get_project(session, name=settings.project)
        self.project_id = key_of(self._project)
        self.device = find_device(settings.device)
        self.profile = training_profile(self.device, self._project.training, settings.training)
        self._backbone: Backbone | None = None
        self._loaded: tuple[int, str | None] | None = None  # a policy and its adapter
        self._folders: dict[str, Path] = {}  # what each adapter was loaded from

    @property
    def project(self) -> Project:
        """Return the project as it was last read: by `read_project`, or at the start."""
        return self._project

    def read_project(self) -> Project:
        """Read the project anew, as leads have set it since: a round does so with its snapshot."""
        with reading(self.engine) as session:
            self._project = session.get_one(Project, self.project_id)
        return self._project

    @contextmanager
    def newest_project(self) -> Iterator[Project]:
        """Yield the project read anew, which is `project` inside: all of it sees the same settings.

        Afterwards `project` is what it was: a round that makes tasks in between goes on with its
        own.
        """
        before = self._project
        try:
            yield self.read_project()
        finally:
            self._project = before

    @property
    def home(self) -> Path:
        """Return the folder that checkpoint URIs are relative to."""
        return self.settings.home

    @property
    def device_in_words(self) -> str:
        """Return the device's name."""
        return describe_device(self.settings.device)

    @property
    def backbone(self) -> Backbone:
        """Return the frozen model of policy version 1, loaded once."""
        if self._backbone is None:
            self._backbone = load_backbone(
                self.model_folder(),
                device=self.device,
                dtype=self.profile.dtype,
                top_layers=self.profile.top_layers,
                rank=self.profile.rank,
                tuning=self.profile.tuning,
                virtual_tokens=self.profile.virtual_tokens,
                recomputed_layers=self.profile.recomputed_layers,
            )
        return self._backbone

    def load_policy(self, policy: Policy, adapter: str) -> str | None:
        """Load a policy's checkpoint into an adapter; return its name, or None for the backbone.

        The backbone is the first policy, and every version that was rolled back to it. Raises
        `Unavailable` naming the file that is missing or broken.
        """
        with reading(self.engine) as session:
            first = _ancestry(session, policy)[-1]
        if policy.checkpoint_uri == first.checkpoint_uri:
            return None
        return self.load_checkpoint(policy.checkpoint_uri, adapter)

    def load_checkpoint(self, uri: str, adapter: str) -> str:
        """Load a checkpoint into an adapter; return its name. Raises as `load_policy` does."""
        folder = checked_path(self.home, uri)
        self.backbone.load_adapter(adapter, folder)
        self._folders[adapter] = folder
        return adapter

    @contextmanager
    def generator(self, adapter: str | None) -> Iterator[Generator]:
        """Yield what samples an adapter as it was loaded, or the bare model (None).

        Raises `BadInput` where the setting `generator` is none that can, and `Unavailable` where
        the server that it names cannot be asked.
        """
        with policy_generator(
            self.settings,
            self.backbone,
            adapter,
            self._folders[adapter] if adapter is not None else None,
            batch_size=self.profile.generation.batch,
        ) as generator:
            yield generator

    def live_policy(self) -> tuple[Policy, str | None]:
        """Return the policy to sample from and its adapter.

        It is the live one; where its checkpoint is missing or broken, that is said, and its parent
        becomes live again, and so on.
        """
        with reading(self.engine) as session:
            live = live_policy(session, project_id=self.project_id)
            ancestry = _ancestry(session, live)
        for policy in ancestry:
            if self._loaded is not None and policy.id == self._loaded[0]:
                return policy, self._loaded[1]
            self._loaded = None
            try:
                adapter = self.load_policy(policy, LIVE)
            except Unavailable as error:
                self._set_aside(policy, error)
                continue
            self._loaded = (key_of(policy), adapter)
            return policy, adapter
        raise Unavailable("No policy of this project can be loaded; run `rankloop doctor`.")

    def _set_aside(self, policy: Policy, error: Unavailable) -> None:
        """Make the parent of a policy that cannot be loaded live again, unless another is by now.

        What is on an object store may only be out of reach: it stays live, and its parent samples.
        """
        log.error("Policy version %d cannot be used: %s", policy.version, error)
        if "://" in policy.checkpoint_uri:
            return
        with writing(self.engine) as session:
            broken = session.get_one(Policy, policy.id)
            if broken.status is not PolicyStatus.LIVE:
                return
            broken.status = PolicyStatus.REJECTED
            session.add(broken)
            session.flush()
            parent = session.get_one(Policy, broken.parent_id)
            parent.status = PolicyStatus.LIVE
            session.add(parent)
            record(
                session,
                project_id=self.project_id,
                account_id=None,
                kind="policy.broken",
                version=broken.version,
                live_version=parent.version,
                reason=str(error),
            )

    def model_folder(self) -> Path:
        """Return the folder of policy version 1; raise `Unavailable` where it cannot be used."""
        with reading(self.engine) as session:
            first = session.exec(
                select(Policy).where(Policy.project_id == self.project_id, Policy.version == 1)
            ).one()
        folder = local_path(self.home, first.checkpoint_uri)
        try:
            if (folder / MANIFEST).exists():
                verify(self.home, first.checkpoint_uri)
            return check_model_folder(folder)
        except Unavailable as error:
            if not is_embedded(self.settings.model):
                raise
            log.warning("%s The embedded model is prepared again.", error)
            return Path(model_folder(self.settings, lambda what, share: None))


def _ancestry(session: Session, policy: Policy) -> list[Policy]:
    line = [policy]
    while line[-1].parent_id is not None:
        line.append(session.get_one(Policy, line[-1].parent_id))
    return line
