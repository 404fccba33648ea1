"""What the Gabor bank prefers, and what the stages of the synthetic cortex do with it."""

import numpy as np
import pytest
import torch

from brainbench.numerics.cascade import DIMENSIONS, STAGES, Cascade
from brainbench.numerics.gabor import GaborEnergy, gabor_pairs

N_ORIENTATIONS = 8


def grating(*, wavelength_px, orientation, phase=0.0, side_px=112, contrast=1.0):
    y, x = np.mgrid[:side_px, :side_px]
    angle = np.pi * orientation / N_ORIENTATIONS
    wave = np.cos(2 * np.pi / wavelength_px * (x * np.cos(angle) + y * np.sin(angle)) + phase)
    return torch.from_numpy(0.5 + 0.5 * contrast * wave).float().expand(1, 3, -1, -1)


@pytest.fixture(scope="module")
def bank():
    return GaborEnergy(octaves=(0, 1, 2, 3), n_orientations=N_ORIENTATIONS, grid=14)


def central(energy):
    """Mean over the places away from the border: (octave, orientation)."""
    return energy[0, :, 4:10, 4:10].mean((1, 2)).reshape(4, N_ORIENTATIONS)


@pytest.mark.parametrize("octave", [0, 1, 2, 3])
@pytest.mark.parametrize("orientation", [0, 1, 3, 4, 6])
def test_each_filter_prefers_its_own_grating(bank, octave, orientation):
    energy = central(bank(grating(wavelength_px=4 * 2**octave, orientation=orientation)))
    assert energy.argmax() == octave * N_ORIENTATIONS + orientation


def test_energy_does_not_depend_on_phase():
    """At a single place: averages over places would hide a bank that has no odd filters."""
    everywhere = GaborEnergy(octaves=(0,), n_orientations=N_ORIENTATIONS, grid=64)
    energies = torch.stack(
        [
            everywhere(grating(wavelength_px=4, orientation=3, phase=phase, side_px=64))[0, 3, 32, 32]
            for phase in np.linspace(0, 2 * np.pi, 12, endpoint=False)
        ]
    )
    assert (energies.max() - energies.min()) / energies.mean() < 0.03


def test_energy_is_zero_in_uniform_light_and_grows_with_contrast(bank):
    assert central(bank(torch.full((1, 3, 112, 112), 0.7))).abs().max() < 1e-5
    full, half = (central(bank(grating(wavelength_px=8, orientation=0, contrast=c)))[1, 0] for c in (1, 0.5))
    assert half / full == pytest.approx(0.5, rel=1e-3)


def test_pairs_have_energy_one_for_their_own_grating():
    even, odd = gabor_pairs(N_ORIENTATIONS).chunk(2)
    wave = grating(wavelength_px=4, orientation=2, side_px=13)[:, :1] * 2 - 1  # phase at the corner, not the centre
    energy = ((even[2] * wave[0]).sum() ** 2 + (odd[2] * wave[0]).sum() ** 2).sqrt()
    assert energy.item() == pytest.approx(1, rel=0.02)


def test_stages_are_named_and_narrow_down_to_one_place():
    cascade, maps, sides = Cascade(), torch.rand(2, 3, 128, 128), []
    assert {name: code.shape for name, code in cascade(maps).items()} == dict.fromkeys(STAGES, (2, DIMENSIONS))
    for stage in cascade.stages.values():
        maps = stage(maps)
        sides.append(maps.shape[-1])
    assert sides == [8, 4, 2, 1]


def test_every_cascade_has_the_same_weights():
    torch.manual_seed(1)
    first = Cascade().state_dict()
    torch.manual_seed(2)
    second = Cascade().state_dict()
    assert first and all(torch.equal(first[name], second[name]) for name in first)


def test_receptive_fields_grow():
    """A change in one corner reaches few places of V1, more of V2, all of IT."""
    torch.manual_seed(0)
    picture = torch.rand(1, 3, 128, 128)
    changed = picture.clone()
    changed[..., :16, :16] = 0
    shares, a, b = [], picture, changed
    for stage in Cascade().stages.values():
        a, b = stage(a), stage(b)
        shares.append(((a - b).abs().amax(1) > 1e-6).float().mean().item())
    assert shares[0] < 0.4
    assert shares == sorted(shares)
    assert shares[-1] == 1


def test_uniform_pictures_give_numbers():
    for light in (0.0, 0.5, 1.0):
        codes = Cascade()(torch.full((1, 3, 128, 128), light))
        assert all(torch.isfinite(code).all() for code in codes.values())
