"""Learners that read a context and predict, in closed form: what an in-context network is held against.

For y = x·w + noise with w ~ N(m, C) and noise of variance σ², the posterior mean of w is
m + C Xᵀ (X C Xᵀ + σ² I)⁻¹ (y - X m), which for m = 0, C = τ² I is ridge with λ = σ²/τ². Its risk, the expected
squared error of the weights, is tr (C⁻¹ + XᵀX/σ²)⁻¹: no learner does better on average. One step of gradient descent
from 0 gives η Xᵀy / n (Akyürek et al. 2023). Two softmax heads of opposite sign, μ (Σ_i p_i y_i - Σ_i p'_i y_i) with
p = softmax(ω X x), p' = softmax(-ω X x) and μ = η / 2ω, give one debiased step for small ω (He et al. 2025).
"""

from __future__ import annotations

import torch
from torch import Tensor

from brainbench.errors import UsageError
from brainbench.numerics._shapes import Float


def gradient_step(x: Float[Tensor, "n e"], y: Float[Tensor, "n v"], *, rate: float) -> Float[Tensor, "e v"]:
    """Weights after one step of gradient descent from 0 on the mean squared error over 2: rate · Xᵀy / n.

    With XᵀX = nI and a rate of 1 that is ordinary least squares.
    """
    return rate * x.T @ y / len(x)


def ridge_weights(x: Float[Tensor, "n e"], y: Float[Tensor, "n v"], *, penalty: float) -> Float[Tensor, "e v"]:
    """(XᵀX + λI)⁻¹ Xᵀy, nothing centred and no intercept; with λ = 0 the solution of least norm.

    Raises UsageError for a negative penalty.
    """
    if penalty < 0:
        raise UsageError(f"a penalty is not below 0, got {penalty}")
    if penalty == 0:
        return torch.linalg.pinv(x) @ y
    n, e = x.shape
    ridge = penalty * torch.eye(min(n, e), dtype=x.dtype, device=x.device)
    if e <= n:  # the smaller system is also the better conditioned one
        return torch.linalg.solve(x.T @ x + ridge, x.T @ y)
    return x.T @ torch.linalg.solve(x @ x.T + ridge, y)


def posterior_weights(
    x: Float[Tensor, "n e"],
    y: Float[Tensor, "n v"],
    *,
    mean: Float[Tensor, " e"],
    covariance: Float[Tensor, "e e"],
    noise: float,
) -> Float[Tensor, "e v"]:
    """The Bayes estimate of the weights under w ~ N(mean, covariance) and noise of variance `noise` > 0."""
    spread = covariance @ x.T
    gram = x @ spread + noise * torch.eye(len(x), dtype=x.dtype, device=x.device)
    return mean[:, None] + spread @ torch.linalg.solve(gram, y - (x @ mean)[:, None])


def bayes_risk(x: Float[Tensor, "n e"], *, covariance: Float[Tensor, "e e"], noise: float) -> float:
    """E |w - ŵ|² of the Bayes estimate, given the context's stimuli: the trace of the posterior covariance.

    With covariance τ²I it is tr σ² (XᵀX + σ²/τ² I)⁻¹.
    """
    return float(posterior_covariance(x, covariance=covariance, noise=noise).trace())


def posterior_covariance(
    x: Float[Tensor, "n e"], *, covariance: Float[Tensor, "e e"], noise: float
) -> Float[Tensor, "e e"]:
    """C - C Xᵀ (X C Xᵀ + σ² I)⁻¹ X C: the same whatever the responses are."""
    spread = covariance @ x.T
    gram = x @ spread + noise * torch.eye(len(x), dtype=x.dtype, device=x.device)
    return covariance - spread @ torch.linalg.solve(gram, spread.T)


def nearest(
    x: Float[Tensor, "n e"], y: Float[Tensor, "n v"], query: Float[Tensor, "u e"], *, k: int
) -> Float[Tensor, "u v"]:
    """The mean response to the k nearest stimuli of the context; with k = n the mean of all.

    Raises UsageError where there are fewer than k, or k is not positive.
    """
    if not 1 <= k <= len(x):
        raise UsageError(f"there are {len(x)} stimuli in the context, so k is 1 to {len(x)}, not {k}")
    return y[torch.cdist(query, x).topk(k, largest=False).indices].mean(dim=1)


def softmax_pair(
    x: Float[Tensor, "n e"], y: Float[Tensor, "n v"], query: Float[Tensor, "u e"], *, sharpness: float, rate: float
) -> Float[Tensor, "u v"]:
    """Two softmax heads of opposite sign: (rate/n) Σ_i (y_i - ȳ) x_i·x_q + O(sharpness²).

    Raises UsageError for a sharpness that is not positive.
    """
    if not sharpness > 0:
        raise UsageError(f"the sharpness of attention is above 0, got {sharpness}")
    logits = sharpness * query @ x.T
    return rate / (2 * sharpness) * (logits.softmax(dim=1) - (-logits).softmax(dim=1)) @ y
