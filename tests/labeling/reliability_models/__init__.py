"""Tests of the models of who is right and what is better."""
