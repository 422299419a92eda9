"""Judgments taken out of figures, snapshots and exports, and put back: by whom, what and when."""

from labeling.withdrawals.conditions import demonstration_not_withdrawn, not_withdrawn

__all__ = ["demonstration_not_withdrawn", "not_withdrawn"]
