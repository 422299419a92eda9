"""Whatever draws completions of a policy: the backbone in this process, or a server elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from reward.generation.sampling import Sample, SamplingSettings, sample
from reward.language_models.backbone import Backbone


class Generator(Protocol):
    """A policy that can be sampled from."""

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings, *, seed: int
    ) -> list[Sample]:
        """Return one completion for each prompt, in order; repeat a prompt to get several.

        A sample's `log_probs` are empty where the generator does not know them.
        """
        ...


@dataclass(frozen=True)
class BackboneGenerator:
    """Samples with an adapter of a backbone (None: the bare model)."""

    backbone: Backbone
    adapter: str | None
    batch_size: int  #: sequences decoded together

    def generate(
        self, prompts: Sequence[Sequence[int]], settings: SamplingSettings, *, seed: int
    ) -> list[Sample]:
        """Return one completion for each prompt, with its log-probabilities."""
        return sample(
            self.backbone, self.adapter, prompts, settings, seed=seed, batch_size=self.batch_size
        )
