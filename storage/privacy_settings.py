"""Settings of what becomes of a person's data when it is erased."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

ErasedJudgments = Literal["keep", "withdraw"]


class PrivacySettings(BaseModel):
    """Hold what an erasure does unless told, one line of words a field."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    judgments: ErasedJudgments = Field(
        default="keep",
        description="Judgments of an erased person: keep them without a name, or withdraw them.",
    )
    erase_texts: bool = Field(
        default=True,
        description="Erase what an erased person wrote beside their judgments: reasons, comments.",
    )
