"""Judgments that models made, and how far they can be trusted."""
