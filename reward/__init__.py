"""What the GPU does: generation, reward model, PPO, evaluation, the round and its worker."""
