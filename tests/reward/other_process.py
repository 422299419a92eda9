"""A second process that is not there: it says from which step it would go on, and adds nothing."""

from reward.training.processes import Processes


class OtherAt(Processes):
    """The first of two processes, of which the other goes on from step or iteration `other`."""

    def __init__(self, other: int) -> None:
        """Stand for both."""
        super().__init__(0, 2)
        self.other = other

    def gather(self, thing: object) -> list[object]:
        """Return this process's thing and the other's step."""
        return [thing, self.other]

    def sum(self, *numbers: float) -> list[float]:
        """Return this process's numbers."""
        return list(numbers)

    def sum_gradients(self, parameters: object) -> None:
        """Leave the gradients as they are."""
        del parameters
