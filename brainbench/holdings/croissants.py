"""A manifest as Croissant 1.0: JSON-LD by which catalogues and loaders of others know a dataset's files.

Hashes are the manifest's, else the local lock's, else left out, never made up. What has no address of its own has its
path as address, which Croissant takes as relative to the description: put it into the recording's folder.
"""

from __future__ import annotations

import mimetypes
from typing import Any

from brainbench.datasets._manifest import UNPINNED, File, Folder, Manifest
from brainbench.holdings import pins
from brainbench.holdings.locating import manifest_of

_TERMS = """citeAs column conformsTo equivalentProperty extract field fileProperty fileObject fileSet format includes
isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace samplingRate separator
source subField transform"""
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    **{term: f"cr:{term}" for term in _TERMS.split()},
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
}
_FORMATS = {".h5": "application/x-hdf5", ".hdf5": "application/x-hdf5", ".nc": "application/x-netcdf"}


def described(id: str) -> dict[str, Any]:
    """Dataset `id` as JSON-LD. Raises as `manifest_of` and `pins` do."""
    here = manifest_of(id)
    locked = pins.pins(here)
    facts = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "name": here.id,
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "description": f"{here.title}. Source: {here.source}.{f' Files: {here.layout}.' if here.layout else ''}",
        "citeAs": here.citation,
        "license": here.licence,
        "url": f"https://doi.org/{here.doi}" if here.doi else here.base_url,
        "version": f"{here.version}.0.0",
        "conditionsOfAccess": here.access,
        "distribution": [_file(here, pins.pinned(file, locked)) for file in here.files]
        + [_folder(folder) for folder in here.folders],
    }
    if here.terms_url:
        facts["usageInfo"] = here.terms_url
    return facts


def _file(here: Manifest, file: File) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": file.path,
        "description": f"group {file.group}",
        "contentUrl": here.url(file) if here.direct or file.url else file.path,
        "encodingFormat": _format(file.path),
    }
    if file.bytes is not None:
        facts["contentSize"] = f"{file.bytes} B"
    if file.sha256 != UNPINNED:
        facts["sha256"] = file.sha256
    return facts


def _folder(folder: Folder) -> dict[str, Any]:
    pattern = f"{folder.path}/{folder.pattern}"
    return {
        "@type": "cr:FileSet",
        "@id": pattern,
        "name": pattern,
        "description": f"group {folder.group}",
        "encodingFormat": _format(pattern),
        "includes": pattern,
    }


def _format(path: str) -> str:
    suffix = path[path.rfind(".") :]
    return _FORMATS.get(suffix) or mimetypes.guess_type(path)[0] or "application/octet-stream"
