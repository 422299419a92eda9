"""One label a task from many judgments, with how uncertain it is; judgments stay as they are."""

from labeling.consolidation.consolidate import RULES, consolidate

__all__ = ["RULES", "consolidate"]
