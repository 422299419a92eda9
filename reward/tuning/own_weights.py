"""Methods whose roles own some of the model's weights: full fine-tuning, output head, biases.

While a role is active its own parameters stand in the modules in place of the frozen ones; to
switch is to swap pointers. BitFit: Ben Zaken et al. 2022, §3.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from reward.language_models.model_shape import layer_of
from reward.tuning.checkpoint import Checkpoint, write_own
from reward.tuning.method import TuningMethod


@dataclass
class _Role:
    """What a role owns; its weights are copied from the model's when they are first asked for."""

    first_layer: int
    scalar: bool
    weights: dict[str, nn.Parameter] | None = None


@dataclass
class _Place:
    """A parameter of the bare model, and every module that it stands in."""

    original: nn.Parameter
    holders: list[tuple[nn.Module, str]] = field(default_factory=list)

    def put(self, parameter: nn.Parameter) -> None:
        for module, attribute in self.holders:
            module._parameters[attribute] = parameter


class OwnWeights(TuningMethod):
    """Roles that own copies of the weights that a method trains."""

    def __init__(self, tuning: str, model: Any, *, first_layer: int) -> None:
        """Remember the model's own parameters; nothing is copied yet."""
        self.tuning = tuning
        self.model = model
        self.first_layer = first_layer
        self._roles: dict[str, _Role] = {}
        self._active: str | None = None
        self._placed: set[str] = set()
        self._places = {key: _Place(parameter) for key, parameter in model.named_parameters()}
        name_of = {id(place.original): key for key, place in self._places.items()}
        for module in model.modules():
            for attribute, parameter in module._parameters.items():
                if parameter is not None:
                    self._places[name_of[id(parameter)]].holders.append((module, attribute))
        output = model.get_output_embeddings()
        self._input = name_of[id(model.get_input_embeddings().weight)]
        self._output = name_of[id(output.weight)]
        if tuning == "head":
            # A tied embedding stays what the trunk reads; only the output gets one of its own.
            self._output = next(key for key, one in model.named_modules() if one is output)
            self._output += ".weight"
            self._places = {self._output: _Place(output.weight, [(output, "weight")])}

    def _names(self, first_layer: int, scalar: bool) -> list[str]:
        if self.tuning == "head":
            return [] if scalar else [self._output]
        unread = {self._output} - {self._input} if scalar else set()
        return owned_names(
            [key for key in self._places if key not in unread],
            first_layer=first_layer,
            input_name=self._input,
            biases_only=self.tuning == "bitfit",
        )

    def roles(self) -> set[str]:
        """Return the names of the roles there are."""
        return set(self._roles)

    def add(self, name: str, *, scalar: bool) -> None:
        """Add a role that equals the bare model, or reset it."""
        self._replace(name, _Role(self.first_layer, scalar))

    def _replace(self, name: str, role: _Role) -> None:
        self._roles[name] = role
        if self._active == name:
            self.activate(name)

    def remove(self, name: str) -> None:
        """Forget a role and free its weights."""
        if self._active == name:
            self.activate(None)
        self._roles.pop(name, None)

    def activate(self, name: str | None) -> None:
        """Put a role's weights into the modules, and the model's own back where it has none."""
        own = {} if name is None else (self._roles[name].weights or {})
        for key in self._placed - own.keys():
            self._places[key].put(self._places[key].original)
        for key, parameter in own.items():
            self._places[key].put(parameter)
        self._placed = set(own)
        self._active = name

    def parameters(self, name: str) -> list[nn.Parameter]:
        """Return a role's weights, copied from the model's if this is the first time."""
        return list(self._weights(name).values())

    def _weights(self, name: str) -> dict[str, nn.Parameter]:
        role = self._roles[name]
        if role.weights is None:
            names = self._names(role.first_layer, role.scalar)
            role.weights = {key: _copied(self._places[key].original) for key in names}
            self._replace(name, role)
        return role.weights

    def copy(self, source: str, target: str) -> None:
        """Make a role with copies of another one's weights."""
        role = self._roles[source]
        weights = {key: _copied(weight) for key, weight in self._weights(source).items()}
        self._replace(target, _Role(role.first_layer, role.scalar, weights))

    def save(self, name: str, folder: Path) -> None:
        """Write a role's weights under the names that the model gives them."""
        role = self._roles[name]
        write_own(
            folder,
            {"tuning": self.tuning, "first_layer": role.first_layer, "scalar": role.scalar},
            self._weights(name),
        )

    def load(self, name: str, checkpoint: Checkpoint) -> None:
        """Make a role of a checkpoint, of as many layers as it has."""
        role = _Role(checkpoint.lowest_layer, bool(checkpoint.own["scalar"]), {})
        if set(checkpoint.state) != set(self._names(role.first_layer, role.scalar)):
            raise checkpoint.of_another_model()
        for key, saved in checkpoint.state.items():
            weight = _copied(self._places[key].original)
            if weight.shape != saved.shape:
                raise checkpoint.of_another_model()
            weight.data.copy_(saved)
            assert role.weights is not None
            role.weights[key] = weight
        self._replace(name, role)

    def output_weight(self, name: str) -> Tensor | None:
        """Return a role's own output embedding, or None where it has the bare model's."""
        return (self._roles[name].weights or {}).get(self._output)


def owned_names(
    names: Sequence[str], *, first_layer: int, input_name: str, biases_only: bool
) -> list[str]:
    """Return which of a model's parameters a role owns that is trained from `first_layer` on.

    With every layer trained these are all, embeddings too. Above a trunk they are those of the
    layers, the final norm, and the output embedding unless it is the input's, which the trunk
    reads.
    """

    def owned(name: str) -> bool:
        layer = layer_of(name)
        if biases_only and not name.endswith(".bias"):
            return False
        if layer is not None:
            return layer >= first_layer
        return first_layer == 0 or name != input_name

    return [name for name in names if owned(name)]


def _copied(weight: nn.Parameter) -> nn.Parameter:
    # `clone` keeps the order in memory, which `store_columns_first` chose.
    return nn.Parameter(weight.detach().clone(), requires_grad=False)
