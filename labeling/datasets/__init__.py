"""Judgments as data to train on: rankings, comparisons, snapshots, exports."""
