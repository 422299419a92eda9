"""Configurations of `accelerate launch`, for training in several processes."""
