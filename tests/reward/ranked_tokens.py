"""Rankings of made-up tokens: fewer of token 70 is better."""

import random

from reward.reward_modeling.ranked_examples import RankedExample


def ranked_tokens(
    count: int, seed: int, ranks: list[int] | None = None, first_group: int = 0
) -> list[RankedExample]:
    """Rank answers by how few of their tokens are 70."""
    rng = random.Random(seed)
    examples = []
    for index in range(count):
        answers = [[rng.choice([70, 71, 72]) for _ in range(6)] for _ in range(4)]
        counts = [answer.count(70) for answer in answers]
        dense = [sorted(set(counts)).index(value) + 1 for value in counts]
        prompt = [rng.randrange(3, 60) for _ in range(5)]
        examples.append(RankedExample(prompt, answers, ranks or dense, first_group + index))
    return examples
