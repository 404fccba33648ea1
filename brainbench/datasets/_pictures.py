"""Procedural pictures with natural statistics: textured leaves that hide each other, and one object in front."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

SIZE_PX = 128
_TEXTURE_PX = 512
_LEAVES = 40

Form = Callable[[np.ndarray, np.ndarray], np.ndarray]


def _radius(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    radius: np.ndarray = np.hypot(x, y)
    return radius


def _rounded_bar(x: np.ndarray, y: np.ndarray, *, length: float, width: float) -> np.ndarray:
    return _radius(np.maximum(np.abs(x) - length, 0), y) - width


# Each form is negative inside the object and about a distance outside; objects fill the disc of radius 1.
FORMS: dict[str, Form] = {
    "ball": lambda x, y: 0.8 * (_radius(x, y) - 0.8),
    "comb": lambda x, y: np.minimum(
        _rounded_bar(x, y - 0.6, length=0.85, width=0.14),
        np.maximum(np.abs(np.mod(x + 0.2, 0.4) - 0.2) - 0.08, np.maximum(np.abs(x) - 0.9, np.abs(y) - 0.7)),
    ),
    "crescent": lambda x, y: np.maximum(_radius(x, y) - 0.95, 0.8 - _radius(x - 0.45, y)),
    "cross": lambda x, y: np.minimum(
        _rounded_bar(x, y, length=0.8, width=0.17), _rounded_bar(y, x, length=0.8, width=0.17)
    ),
    "grating": lambda x, y: np.maximum(np.abs(np.mod(y + 0.2, 0.4) - 0.2) - 0.1, _radius(x, y) - 0.95),
    "ring": lambda x, y: np.abs(_radius(x, y) - 0.75) - 0.17,
    "rod": lambda x, y: _rounded_bar(x, y, length=0.95, width=0.15),
    "star": lambda x, y: _radius(x, y) - 0.62 - 0.33 * np.cos(7 * np.arctan2(y, x)),
}


def picture(category: str, *, seed: tuple[int, ...]) -> np.ndarray:
    """One picture, uint8 (128, 128, 3): leaves of power-law sizes, then an object of `category` in any pose.

    Places, sizes, angles, colours and lights are all drawn from `seed`.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:SIZE_PX, :SIZE_PX].astype(float)  # float64, so that no machine rounds a pixel another way
    canvas = _surface(rng, x / SIZE_PX)
    for radius in sorted(_leaf_radii_px(rng), reverse=True):  # small ones in front, or large ones would hide them all
        centre = SIZE_PX * rng.uniform(0, 1, size=2)
        box = tuple(slice(max(int(c - 1.2 * radius), 0), int(c + 1.2 * radius) + 2) for c in centre[::-1])
        u, v = _object_coordinates(rng, x[box], y[box], centre=centre, radius=radius)
        _paint(canvas[box], _leaf(rng, u, v) * radius, _surface(rng, u))
    centre = SIZE_PX * rng.uniform(0.4, 0.6, size=2)
    radius = SIZE_PX * rng.uniform(0.28, 0.42)
    u, v = _object_coordinates(rng, x, y, centre=centre, radius=radius)
    _paint(canvas, FORMS[category](u, v) * radius, _surface(rng, u))
    pixels: np.ndarray = np.round(np.clip(canvas, 0, 1) * 255).astype(np.uint8)
    return pixels


def _leaf_radii_px(rng: np.random.Generator) -> np.ndarray:
    """Radii with density r^-3, for which a pile of leaves has a 1/f amplitude spectrum (Lee, Mumford & Huang 2001)."""
    smallest, largest = 4.0, 50.0
    radii: np.ndarray = (largest**-2 + rng.random(_LEAVES) * (smallest**-2 - largest**-2)) ** -0.5
    return radii


def _object_coordinates(
    rng: np.random.Generator, x: np.ndarray, y: np.ndarray, *, centre: np.ndarray, radius: float
) -> tuple[np.ndarray, np.ndarray]:
    """Places relative to an object: turned by any angle, its height up to a third less than its width."""
    angle, flattening = rng.uniform(0, 2 * np.pi), rng.uniform(1, 1.5)
    dx, dy = (x - centre[0]) / radius, (y - centre[1]) / radius
    return np.cos(angle) * dx + np.sin(angle) * dy, flattening * (np.cos(angle) * dy - np.sin(angle) * dx)


def _leaf(rng: np.random.Generator, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(abs(u), abs(v)) - 0.8 if rng.random() < 0.4 else _radius(u, v) - 1


def _surface(rng: np.random.Generator, u: np.ndarray) -> np.ndarray:
    """RGB of a lit, textured surface: a colour of its own, 1/f texture of its own contrast, light from one side."""
    colour = np.clip(rng.beta(1.6, 1.6) + rng.normal(0, 0.09, size=3), 0.02, 0.98)
    left, top = rng.integers(0, _TEXTURE_PX - SIZE_PX, size=2)
    texture = _textures()[rng.integers(len(_textures()))][top : top + u.shape[0], left : left + u.shape[1]]
    light = 1 + rng.uniform(0.02, 0.25) * texture + rng.uniform(-0.3, 0.3) * np.clip(u, -1, 1)
    shaded: np.ndarray = colour * light[..., None]
    return shaded


@cache
def _textures() -> np.ndarray:
    """Fields of mean 0 and standard deviation 1 with amplitude 1/f: isotropic, then drawn out in four directions."""
    rng = np.random.default_rng(0)
    frequency = np.fft.fftfreq(_TEXTURE_PX)
    fields = []
    for elongation, angle in [(1, 0.0), (4, 0.0), (4, np.pi / 4), (4, np.pi / 2), (4, 3 * np.pi / 4)]:
        fy, fx = np.meshgrid(frequency, frequency, indexing="ij")
        along, across = np.cos(angle) * fx + np.sin(angle) * fy, np.cos(angle) * fy - np.sin(angle) * fx
        amplitude = 1 / np.maximum(np.hypot(elongation * along, across), 1 / _TEXTURE_PX)
        field = np.fft.ifft2(np.fft.fft2(rng.normal(size=amplitude.shape)) * amplitude).real
        fields.append((field - field.mean()) / field.std())
    return np.stack(fields)


def _paint(canvas: np.ndarray, distance_px: np.ndarray, surface: np.ndarray) -> None:
    """Covers `canvas` with `surface` where the distance is negative; the edge is one pixel wide, not a staircase."""
    cover = np.clip(0.5 - distance_px, 0, 1)[..., None]
    canvas += cover * (surface - canvas)
