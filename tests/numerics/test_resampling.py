import numpy as np

from brainbench.numerics.resampling import benjamini_hochberg, interval, multiplicities, seed_of, two_sided

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


def test_a_two_sided_p_by_hand():
    assert two_sided(np.r_[np.full(95, 1.0), np.full(4, -1.0)]) == 2 * 5 / 100
    assert two_sided(np.ones(99)) == 2 / 100 and two_sided(np.zeros(99)) == 1
    assert two_sided(np.r_[np.zeros(2), np.ones(97)]) == 2 * 2 / 100  # half of each 0 lies on the other side
    assert np.isnan(two_sided(np.r_[np.ones(19), np.nan]))


def test_adjusted_p_leave_out_what_is_undefined():
    np.testing.assert_allclose(benjamini_hochberg(np.array([0.01, np.nan, 0.04, 0.03])), [0.03, np.nan, 0.04, 0.04])
    assert np.isnan(benjamini_hochberg(np.full(2, np.nan))).all()


def test_a_fingerprint_gives_the_same_draws_for_ever():
    """Entries hold replicates, not draws: were these numbers to change, old and new entries would pair in silence.

    If this fails with a new version of NumPy, raise the version of aggregation in benchmarks' fingerprints.
    """
    drawn = multiplicities([f"s{i}" for i in range(9)], 3, seed_of(FINGERPRINT, "stimuli"))
    assert drawn.astype(int).tolist() == [
        [2, 1, 1, 0, 1, 3, 0, 1, 0],
        [1, 3, 1, 0, 2, 0, 0, 1, 1],
        [1, 2, 2, 2, 1, 0, 0, 1, 0],
    ]
