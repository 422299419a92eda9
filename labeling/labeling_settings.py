"""The settings of labeling: kept on the project, read and changed section by section."""

import json
from functools import cache, lru_cache
from typing import Any

from pydantic import ValidationError
from sqlalchemy import bindparam, select
from sqlmodel import Session

from labeling.events import record
from labeling.keys import key_of
from labeling.labeling_sections import (
    AlarmSettings,
    ArenaSettings,
    AssignmentSettings,
    CostSettings,
    EndpointPolicySettings,
    ExportSettings,
    FreshnessSettings,
    GoldSettings,
    ModelAnnotatorSettings,
    PaceSettings,
    PageSettings,
    QualificationSettings,
    ReliabilitySettings,
    ReviewSettings,
    Section,
    SelectionSettings,
    WebhookSettings,
    WithdrawalSettings,
)
from labeling.permissions import Action, require
from storage.core import execute_core, table_of
from storage.errors import BadInput
from storage.tables import Account, Project


class LabelingSettings(Section):
    """Every setting of labeling in a project."""

    page: PageSettings = PageSettings()
    assignment: AssignmentSettings = AssignmentSettings()
    gold: GoldSettings = GoldSettings()
    qualification: QualificationSettings = QualificationSettings()
    pace: PaceSettings = PaceSettings()
    selection: SelectionSettings = SelectionSettings()
    model_annotators: ModelAnnotatorSettings = ModelAnnotatorSettings()
    review: ReviewSettings = ReviewSettings()
    arena: ArenaSettings = ArenaSettings()
    freshness: FreshnessSettings = FreshnessSettings()
    withdrawals: WithdrawalSettings = WithdrawalSettings()
    webhooks: WebhookSettings = WebhookSettings()
    reliability: ReliabilitySettings = ReliabilitySettings()
    cost: CostSettings = CostSettings()
    alarms: AlarmSettings = AlarmSettings()
    export: ExportSettings = ExportSettings()
    endpoints: EndpointPolicySettings = EndpointPolicySettings()


def labeling_settings(project: Project) -> LabelingSettings:
    """Return the project's settings; raise `BadInput` naming a field that does not fit."""
    return stored_settings(project.labeling)


def stored_settings(values: dict[str, Any]) -> LabelingSettings:
    """Return the settings that a project's row holds; raise as `labeling_settings` does."""
    return _stored(json.dumps(values, sort_keys=True))


# Each submit asks for them several times, and nothing in them can be changed.
@lru_cache(maxsize=256)
def _stored(text: str) -> LabelingSettings:
    return _checked(json.loads(text))


def settings_of(session: Session, *, project_id: int) -> LabelingSettings:
    """Return a project's settings without the rest of it; raise as `labeling_settings` does."""
    found = execute_core(session, _settings_statement(), project_id=project_id)
    return stored_settings(found.scalar_one())


@cache
def _settings_statement() -> Any:
    project = table_of(Project)
    return select(project.c.labeling).where(project.c.id == bindparam("project_id"))


def change_labeling(
    session: Session, *, project: Project, by: Account | None, section: str, values: dict[str, Any]
) -> LabelingSettings:
    """Set fields of one section, leaving the others; return all settings.

    `by` is the account that asks (None: the person at the server's shell). Raises `BadInput`
    naming the field that does not fit (nothing changes then), `NotAllowed`.
    """
    if by is not None:
        require(by, Action.CHANGE_LABELING, project_id=key_of(project))
    # All settings are one value: who changes another section at this moment takes their turn.
    session.refresh(project, ["labeling"], with_for_update={"key_share": True})
    stored = project.labeling.get(section, {})
    changed = {**project.labeling, section: {**stored, **values}}
    settings = _checked(changed)
    project.labeling = settings.model_dump(mode="json", exclude_defaults=True)
    session.add(project)
    record(
        session,
        project_id=project.id,
        account_id=by.id if by else None,
        kind="labeling.changed",
        section=section,
        before=LabelingSettings().model_dump(mode="json")[section] | stored,
        values=settings.model_dump(mode="json")[section],
    )
    return settings


def _checked(values: dict[str, Any]) -> LabelingSettings:
    try:
        return LabelingSettings.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            raise BadInput(
                f"There is no setting labeling.{where}; `rankloop labeling show` lists them."
            ) from error
        raise BadInput(f"The setting labeling.{where} does not fit: {first['msg']}.") from error
