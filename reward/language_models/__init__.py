"""Models on disk and in memory: where they come from and what is trained of them."""
