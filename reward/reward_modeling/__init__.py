"""Reward models: what they learn from rankings and how it is measured."""
