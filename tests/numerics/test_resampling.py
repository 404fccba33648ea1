import numpy as np

from brainbench.numerics.resampling import interval, multiplicities, seed_of

FINGERPRINT = "ab" * 32


def test_replicates_pair_up_between_models_and_differ_between_purposes():
    units = [f"s{i}" for i in range(9)]
    draw = lambda purpose: multiplicities(units, 5, seed_of(FINGERPRINT, purpose))  # noqa: E731
    np.testing.assert_array_equal(draw("stimuli"), draw("stimuli"))
    assert not np.array_equal(draw("stimuli"), draw("subjects"))
    assert (draw("stimuli").sum(axis=1) == 9).all()


def test_members_of_a_unit_are_drawn_together_and_order_does_not_matter():
    drawn = multiplicities(["b", "a", "b", "c"], 50, seed_of(FINGERPRINT, "x"))
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])
    np.testing.assert_array_equal(drawn[:, [1, 0, 3]], multiplicities(["a", "b", "c"], 50, seed_of(FINGERPRINT, "x")))


def test_interval_needs_replicates():
    low, high = interval(np.arange(1001.0))
    np.testing.assert_allclose((low, high), (25.0, 975.0))
    assert np.isnan(interval(np.full(1000, np.nan))).all()
