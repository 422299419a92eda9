"""Tests of how many judgments become one label."""
