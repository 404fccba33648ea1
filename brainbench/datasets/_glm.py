"""Block responses from BOLD time series: the general linear model, one regressor a block.

y = X b + e by ordinary least squares, where X holds each block as it is (1 in its scans, 0 in others) and, made by
nilearn, cosines slower than 1/128 Hz and a constant. Voxels do not know of each other. Blocks are not convolved with a
haemodynamic response: this is for releases whose labels name the scans that hold the response.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

HIGH_PASS_HZ = 1 / 128  # the slowest that is usual: a block returns once in a run of five minutes


def block_responses(series: np.ndarray, events: pd.DataFrame, *, t_r: float) -> np.ndarray:
    """Percent signal change (block, voxel), float32, of one run's `series` (scan, voxel), blocks in the order of rows.

    `events` has `onset` and `duration` in seconds and a `trial_type` that names each block once. Voxels whose mean is
    not above 0 were not measured: NaN.
    """
    from nilearn.glm.first_level import make_first_level_design_matrix

    times = np.arange(len(series)) * t_r
    names = list(events["trial_type"])
    since = times[:, None] - events["onset"].to_numpy()
    boxes = (since >= 0) & (since < events["duration"].to_numpy())  # nilearn's own boxes hold the first scan after, too
    design = make_first_level_design_matrix(
        times, add_regs=boxes.astype(np.float64), add_reg_names=names, high_pass=HIGH_PASS_HZ
    )
    mean = series.mean(axis=0, dtype=np.float64)
    weights = np.linalg.pinv(design.to_numpy(dtype=np.float64)) @ series.astype(np.float64)
    effects = weights[[design.columns.get_loc(name) for name in names]]
    share = np.divide(effects, mean, out=np.full_like(effects, np.nan), where=mean > 0)
    return np.asarray(100 * share, dtype=np.float32)
