"""PPO and its neighbours: rollouts, advantages, updates."""
