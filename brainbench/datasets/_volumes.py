"""Volumes and surfaces of MRI (NIfTI, MGH), read for some voxels only, after a look at whether the file can be whole.

A header loads fine from a truncated file, and may claim any size: so size and header are compared before anything is
read, and what breaks afterwards names the file. Compressed files are read volume by volume, others through a memory
map, so that no more than a few volumes are in memory beside the voxels that were asked for.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from brainbench.errors import BrainbenchError, InputError

MOST_VALUES = 10**10  # ten times a session of 750 volumes at 1.8 mm: more is a header that lies
_MOST_COMPRESSION = 1032  # of deflate: 258 bytes out of two bits
_AT_A_TIME = 32


@contextmanager
def _named(full: Path) -> Iterator[None]:
    from nibabel.filebasedimages import ImageFileError
    from nibabel.spatialimages import HeaderDataError

    try:
        yield
    except BrainbenchError:
        raise
    except (EOFError, OSError, ValueError, zlib.error, ImageFileError, HeaderDataError) as error:
        why = "truncated" if isinstance(error, EOFError) else "broken"
        raise InputError(f"{full} is {why}: {type(error).__name__}: {error}. Get it anew.") from None


def header(full: Path) -> Any:
    """The image with its header only. Raises InputError where the file cannot hold what its header claims."""
    with _named(full):
        image = _loaded(full)
        n_values = math.prod(int(size) for size in image.shape)
        n_bytes = n_values * image.get_data_dtype().itemsize
        there = full.stat().st_size
        packed = full.suffix in (".gz", ".mgz")
        if n_values > MOST_VALUES or n_bytes > there * (_MOST_COMPRESSION if packed else 1):
            raise InputError(
                f"{full} claims {' x '.join(map(str, image.shape))} values ({n_bytes} bytes), but has {there} bytes"
                f"{' compressed' if packed else ''}: it is truncated, or its header is wrong. Get it anew."
            )
    return image


def _loaded(full: Path) -> Any:
    import nibabel
    from nibabel import arrayproxy, openers

    mgh: Any = nibabel.freesurfer.mghformat
    proxy: Any = arrayproxy.ArrayProxy
    if full.suffix not in (".mgh", ".mgz"):
        return nibabel.load(full)
    with openers.ImageOpener(str(full)) as stream:  # nibabel.load leaves such a file open
        head = mgh.MGHHeader.from_fileobj(stream)
    return mgh.MGHImage(proxy(str(full), head), head.get_affine(), header=head)


def volume(full: Path) -> np.ndarray:
    """One volume or surface, scaled as its header says, without axes of size 1 at the end."""
    image = header(full)
    with _named(full):
        values = np.asarray(image.dataobj)
    while values.ndim > 3 and values.shape[-1] == 1:
        values = values[..., 0]
    return values


def voxels(full: Path, at: tuple[np.ndarray, ...], *, n_volumes: int | None = None) -> np.ndarray:
    """Values (volume, voxel) of the voxels at indices `at`, an array an axis, as float32, scaled as the header says.

    Raises InputError where the file is no series of volumes, holds another number of them than `n_volumes`, is smaller
    than `at`, or breaks.
    """
    image = header(full)
    if len(image.shape) != 4 or n_volumes not in (None, image.shape[3]):
        expected = f"x {n_volumes}" if n_volumes is not None else "of volumes"
        raise InputError(f"{full} has shape {image.shape}; expected a series {expected}")
    outside = [axis for axis, index in enumerate(at) if index.size and index.max() >= image.shape[axis]]
    if outside:
        raise InputError(f"{full} has shape {image.shape}: masks of this subject belong to volumes of another shape")
    result = np.empty((image.shape[3], len(at[0])), dtype=np.float32)
    with _named(full):
        start = 0
        for some in _parts(full, image):
            result[start : start + some.shape[3]] = some[at].T
            start += some.shape[3]
    return result


def _parts(full: Path, image: Any) -> Iterator[np.ndarray]:
    """The series in order, some volumes at a time (i, j, k, volume), scaled."""
    proxy, (*shape, n_volumes) = image.dataobj, image.shape
    if full.suffix not in (".gz", ".mgz"):
        yield from (np.asarray(proxy[..., at : at + _AT_A_TIME]) for at in range(0, n_volumes, _AT_A_TIME))
        return
    from nibabel.openers import ImageOpener

    with ImageOpener(str(full)) as stream:  # the proxy would unpack the file from its start for every part
        stream.seek(proxy.offset)
        for at in range(0, n_volumes, _AT_A_TIME):
            n = min(_AT_A_TIME, n_volumes - at)
            wanted = math.prod(shape) * n * proxy.dtype.itemsize
            content = stream.read(wanted)
            if len(content) < wanted:
                raise EOFError(f"volume {at} of {n_volumes} is not whole")
            values = np.frombuffer(content, dtype=proxy.dtype).reshape((*shape, n), order="F")
            yield values if (proxy.slope, proxy.inter) == (1, 0) else values * proxy.slope + proxy.inter
