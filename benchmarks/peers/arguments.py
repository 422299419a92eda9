"""The options that both sides of a comparison of PPO understand."""

import argparse


def peer_arguments(description: str | None) -> argparse.Namespace:
    """Parse them from the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--model", required=True, help="folder of a causal language model")
    parser.add_argument("--prompts", type=int, default=16, help="completions an iteration")
    parser.add_argument("--prompt-tokens", type=int, nargs=2, default=(16, 64))
    parser.add_argument("--new-tokens", type=int, default=48)
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--minibatches", type=int, default=1)
    parser.add_argument("--micro-batch", type=int, default=4)
    parser.add_argument("--iterations", type=int, default=4)
    parser.add_argument("--rank", type=int, default=16)
    parser.add_argument("--top-layers", type=int, default=0, help="ours only; 0: full depth")
    parser.add_argument("--recomputed-layers", type=int, default=0, help="ours only, of the top")
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--stop", action="store_true", help="answers end at the end token")
    parser.add_argument("--learn", action="store_true", help="a reward that can be computed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()
