"""Where answers lie in a padded batch."""

import torch

from reward.language_models.padding import answered_batch


def test_answers_start_at_column_zero_and_point_at_the_state_before_them() -> None:
    batch = answered_batch([[5, 6, 7], [8]], [[1, 2], [3, 4, 9]], torch.device("cpu"))
    assert batch.ids.tolist() == [[5, 6, 7, 1, 2], [8, 3, 4, 9, 0]]
    assert batch.tokens.tolist() == [[1, 2, 0], [3, 4, 9]]
    assert batch.mask.tolist() == [[True, True, False], [True, True, True]]
    assert batch.columns.tolist() == [[2, 3, 0], [0, 1, 2]]


def test_picked_states_go_back_to_where_they_came_from() -> None:
    batch = answered_batch([[5, 6, 7], [8]], [[1, 2], [3, 4, 9]], torch.device("cpu"))
    hidden = torch.arange(10.0).reshape(2, 5, 1)
    picked = batch.predicting(hidden)[:, 0]
    assert picked.tolist() == [2.0, 3.0, 5.0, 6.0, 7.0]
    assert batch.spread(picked).tolist() == [[2.0, 3.0, 0.0], [5.0, 6.0, 7.0]]
