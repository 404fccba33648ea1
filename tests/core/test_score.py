import numpy as np
import pytest

from brainbench.core.score import Ceiling, normalized
from brainbench.core.specs import Preprocessing, fingerprint
from brainbench.errors import UsageError


def test_normalized_is_signed_r2_over_a_ceiling_on_the_r2_scale():
    ceiling = Ceiling(value=np.array([0.64, 0.64, 0.04]), scale="r2", method="x")
    # neither (r / ceiling)², which would give .391 for the first, nor a lost sign, nor a clip at 1
    np.testing.assert_allclose(normalized(np.array([0.4, -0.4, 0.4]), "r", ceiling), [0.25, -0.25, 4.0])


def test_a_ceiling_in_r_is_squared_first():
    ceiling = Ceiling(value=np.array([0.8]), scale="r", method="x")
    np.testing.assert_allclose(normalized(np.array([-0.4]), "r", ceiling), [-0.25])


def test_no_ceiling_gives_nan_not_a_number():
    ceiling = Ceiling(value=np.array([np.nan, 0.0, -0.1]), scale="r2", method="x")
    assert np.isnan(normalized(np.full(3, 0.5), "r", ceiling)).all()


def test_scales_without_a_conversion_raise():
    with pytest.raises(UsageError, match="no conversion"):
        normalized(np.array([0.5]), "r2", Ceiling(value=np.array([0.5]), scale="r", method="x"))


def test_fingerprints_are_of_content():
    assert fingerprint({"a": 1, "b": (1, 2)}) == fingerprint({"b": [1, 2], "a": 1})
    base = fingerprint(Preprocessing(resize_px=224))
    assert base == fingerprint(Preprocessing(resize_px=224)) != fingerprint(Preprocessing(resize_px=225))
    with pytest.raises(TypeError, match="cannot be fingerprinted"):
        fingerprint({"a": {1, 2}})
    with pytest.raises(ValueError):
        fingerprint(float("nan"))


def test_a_scale_without_a_conversion_is_no_error_where_there_is_no_ceiling_at_all():
    none = Ceiling(value=np.full(2, np.nan), scale="share", method="none")
    assert np.isnan(normalized(np.array([[0.5, 0.1]] * 3), "share", none)).all()
    assert normalized(np.array([[0.5, 0.1]] * 3), "share", none).shape == (3, 2)
    with pytest.raises(UsageError, match="no conversion"):
        normalized(np.array([0.5]), "share", Ceiling(value=np.array([0.5]), scale="share", method="x"))
