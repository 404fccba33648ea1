"""Files as other software writes them, for tests of what reads them."""

import gzip
import io

import h5py
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


def netcdf(name, values, dims, sizes, labels):
    """The bytes of a netCDF-4 file as xarray writes one: `labels` are name -> (dimension, values)."""
    stream = io.BytesIO()
    with h5py.File(stream, "w", track_order=True) as file:
        for number, (dim, size) in enumerate(sizes.items()):
            scale = file.create_dataset(dim, (size,), ">f4")  # a dimension without labels of its own name
            scale.make_scale(f"This is a netCDF dimension but not a netCDF variable. {size:9d}")
            scale.attrs["_Netcdf4Dimid"] = np.int32(number)
        for label, (dim, content) in labels.items():
            text = not isinstance(content, np.ndarray)
            item = file.create_dataset(label, data=content, dtype=h5py.string_dtype() if text else content.dtype)
            item.dims[0].attach_scale(file[dim])
        data = file.create_dataset(name, data=values)
        for axis, dim in enumerate(dims):
            data.dims[axis].attach_scale(file[dim])
        data.attrs["coordinates"] = " ".join(labels)
    return stream.getvalue()
