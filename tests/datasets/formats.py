"""Files as other software writes them, for tests of what reads them."""

import gzip

import nibabel
import numpy as np


def nifti(values, *, zooms=(1.8, 1.8, 1.8), packed=True, endian="<"):
    """The bytes of a NIfTI-1 file of `values`, in their own dtype, in one file, gzipped where `packed`."""
    values = np.asarray(values)
    header = nibabel.Nifti1Header(endianness=endian)
    header.set_data_dtype(values.dtype.newbyteorder(endian))
    image = nibabel.Nifti1Image(values, np.diag([*zooms, 1.0]), header)
    image.header.set_zooms((*zooms, 1.0)[: values.ndim])
    content = image.to_bytes()
    return gzip.compress(content, mtime=0) if packed else content


def mgh(values, *, packed=False):
    """The bytes of an MGH file of `values`, gzipped (.mgz) where `packed`."""
    content = nibabel.MGHImage(np.asarray(values), np.eye(4)).to_bytes()
    return gzip.compress(content, mtime=0) if packed else content
