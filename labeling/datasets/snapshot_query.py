"""What a snapshot is asked for: which judgments, and what becomes of ties and disagreement."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
)

from storage.errors import BadInput

ModelsRule = Literal["out", "taken", "in"]
TieRule = Literal["keep", "drop-all-tied", "drop-any-tied"]
ConsolidationRule = Literal[
    "none", "majority", "dawid_skene", "bradley_terry", "plackett_luce", "ranked_pairs"
]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]


class SnapshotQuery(BaseModel):
    """A query over a project's judgments; the default asks for all that training may use."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: judgments given at this time or later
    since: AwareDatetime | None = None
    #: judgments given before this time
    until: AwareDatetime | None = None
    #: rounds whose policies' completions are wanted; 0 is the policy at the start (none: all)
    rounds: tuple[Annotated[int, Field(ge=0)], ...] = ()
    #: policy versions (imported ones are below 0); a task's completions are all of them (none: all)
    policies: tuple[int, ...] = ()
    #: criteria that a judgment must answer for every completion
    criteria: tuple[str, ...] = ()
    #: names of the annotators whose judgments are wanted (none: all)
    annotators: tuple[str, ...] = ()
    #: names of annotators whose judgments are not
    not_annotators: tuple[str, ...] = ()
    #: judgments of model annotators: none, of tasks that they took without people, or all
    models: ModelsRule = "out"
    #: a lead's decision stands instead of a task's judgments
    decisions: bool = True
    #: judgments that a task must have, after every other filter
    min_judgments: Annotated[int, Field(ge=1)] = 1
    #: pairwise agreement of a task's judgments, where it has two or more
    min_agreement: _Share | None = None
    #: reliability weight of an annotator
    min_reliability: _Share | None = None
    #: annotators' reliability is measured, stands in every row, and weighs the consolidation
    reliability: bool = False
    #: how several judgments of a task become one label; the judgments are kept all the same
    consolidation: ConsolidationRule = "none"
    #: rankings with ties: all kept, those that tie everything left out, or any that ties two
    ties: TieRule = "keep"

    def as_json(self) -> dict[str, Any]:
        """Return the query without what is as by default: equal queries give equal JSON."""
        return _sorted_lists(self.model_dump(mode="json", exclude_defaults=True))

    @field_validator("since", "until")
    @classmethod
    def _in_utc(cls, value: datetime | None) -> datetime | None:
        """Write one moment one way, in whichever zone it was asked for."""
        return None if value is None else value.astimezone(UTC)

    @property
    def needs_reliability(self) -> bool:
        """Say whether annotators' reliability is wanted."""
        return self.reliability or self.min_reliability is not None


def query_of(values: dict[str, Any]) -> SnapshotQuery:
    """Return the query of JSON values; raise `BadInput` naming the field that does not fit."""
    try:
        query = SnapshotQuery.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise BadInput(f"The snapshot's {where} does not fit: {first['msg']}.") from error
    _check_dates(query.since, query.until)
    return query


def _check_dates(since: datetime | None, until: datetime | None) -> None:
    if since is not None and until is not None and since >= until:
        raise BadInput(
            f"The snapshot's since ({since:%Y-%m-%d %H:%M}) is not before its until "
            f"({until:%Y-%m-%d %H:%M}); swap them."
        )


def _sorted_lists(values: dict[str, Any]) -> dict[str, Any]:
    return {
        name: sorted(set(value)) if isinstance(value, list) else value
        for name, value in values.items()
    }
