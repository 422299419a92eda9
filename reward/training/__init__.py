"""What every trainer shares: processes, progress, optimizers, memory, logging."""
