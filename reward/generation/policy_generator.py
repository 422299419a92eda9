"""What draws a policy's completions, by the setting `generator`: this process, or servers."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from reward.generation.completion_fleet import completion_servers
from reward.generation.generator import BackboneGenerator, Generator
from reward.generation.server_generator import served_policy
from reward.language_models.backbone import Backbone
from storage.errors import BadInput
from storage.settings import Settings

TRANSFORMERS = "transformers"  # the setting `generator`: sample with the backbone of this process


@contextmanager
def policy_generator(
    settings: Settings,
    backbone: Backbone,
    adapter: str | None,
    folder: Path | None,
    *,
    batch_size: int,
) -> Iterator[Generator]:
    """Yield what samples an adapter that was loaded from `folder`, or the bare model (None, None).

    `batch_size` is how many sequences the backbone decodes together. Raises `BadInput` where the
    setting `generator` is none that can, and `Unavailable` where the server that it names cannot be
    asked.
    """
    if settings.generator == TRANSFORMERS:
        yield BackboneGenerator(backbone, adapter, batch_size)
        return
    if adapter is not None and backbone.tuning != "lora":
        raise BadInput(
            f"Policies of tuning {backbone.tuning} cannot be served; set generator to "
            f"{TRANSFORMERS}, or training.backbone.tuning to lora."
        )
    server = completion_servers(settings)
    with served_policy(server, backbone, folder) as generator:
        yield generator
