"""What weights a run trains, so that progress of another kind of run is never taken for its own."""

from typing import Any

from reward.language_models.backbone import Backbone


def trained_shape(backbone: Backbone, adapter: str | None) -> dict[str, Any]:
    """Return tuning method, first trained layer, precision and the shape of every weight.

    `adapter` None is a run that trains nothing of the backbone.
    """
    return {
        "tuning": backbone.tuning,
        "first_layer": backbone.split,
        "dtype": str(backbone.output_weight.dtype),
        "shapes": [list(weight.shape) for weight in backbone.parameters(adapter)],
    }
