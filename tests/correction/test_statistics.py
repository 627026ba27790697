"""Re-estimated statistics of batch norms: means over batches, and the channels whose statistics stay."""

import numpy as np

from qatviz.correction.statistics import BatchNormMeans


def test_means_replace_statistics_where_they_have_an_effect():
    arrays = {
        "bn.gamma": np.float32([1, 0, 1]),
        "bn.beta": np.float32([5, 5, 5]),
        "bn.moving_mean": np.float32([9, 9, 9]),
        "bn.moving_variance": np.float32([4, 4, 4]),
    }
    means = BatchNormMeans()
    means.add("bn", np.float32([1, 1, 0]), np.float32([2, 2, 0]))
    means.add("bn", np.float32([2, 2, 0]), np.float32([3, 3, 0]))
    changed = means.applied(arrays)
    assert changed["bn.moving_mean"].tolist() == [1.5, 9, 0]
    assert changed["bn.moving_variance"].tolist() == [2.5, 4, 4]  # gamma is 0; the output is constant
    assert changed["bn.gamma"] is arrays["bn.gamma"] and arrays["bn.moving_mean"].tolist() == [9, 9, 9]
    assert changed["bn.moving_mean"].dtype == np.float32
