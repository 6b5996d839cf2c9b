"""The normalisation layer."""

import mlx.core as mx
import numpy as np

from lasmlx.layers import RMSNorm


def test_rows_come_out_with_unit_mean_square() -> None:
    y = np.array(RMSNorm(33)(mx.random.normal((2, 5, 33)) * 7))
    np.testing.assert_allclose((y * y).mean(-1), 1, rtol=1e-4)


def test_weight_scales_channels() -> None:
    norm, x = RMSNorm(4), mx.random.normal((3, 4))
    plain = norm(x)
    norm.weight = mx.array([1.0, 2, 3, 4])
    np.testing.assert_allclose(np.array(norm(x)), np.array(plain * norm.weight), rtol=1e-6)
