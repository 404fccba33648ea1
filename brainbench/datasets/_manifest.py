"""What a manifest is: the files of a recording, one by one, in numbered series or in folders, and who may use them.

A hash that nobody here could check is "unpinned", never made up; a size that is not known is left out.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import PurePosixPath
from typing import Literal, Self
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from brainbench.core.specs import fingerprint
from brainbench.errors import UnknownNameError

UNPINNED = "unpinned"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class _Placed(_Strict):
    path: str
    group: str

    @field_validator("path")
    @classmethod
    def _inside_the_root(cls, path: str) -> str:
        parts = PurePosixPath(path).parts
        if not parts or parts[0] == "/" or ".." in parts or "\\" in path:
            raise ValueError("must be relative, with / between folders and without ..")
        return path


class File(_Placed):
    """One file of a recording; `url` only where it does not lie under the manifest's `base_url`.

    `sha1` is what upstream published where it published no sha256.
    """

    bytes: int | None = Field(default=None, ge=0)
    sha256: str = Field(pattern=rf"^([0-9a-f]{{64}}|{UNPINNED})$")
    sha1: str = Field(default="", pattern=r"^([0-9a-f]{40})?$")
    url: str = ""


class Series(_Placed):
    """Unpinned files that differ in a number: `path` holds it as "{n}", or "{n:02d}" with a leading zero."""

    first: int = Field(default=1, ge=0)
    last: int

    @property
    def files(self) -> list[File]:
        """Its files, in order of number."""
        numbers = range(self.first, self.last + 1)
        return [File(path=self.path.format(n=n), group=self.group, sha256=UNPINNED) for n in numbers]


class Folder(_Placed):
    """Unpinned files whose names are not known beforehand: those in folder `path` that match the glob `pattern`."""

    pattern: str

    def holds(self, path: str) -> bool:
        """Whether a file of this path would be one of its files."""
        return path.startswith(f"{self.path}/") and PurePosixPath(path).match(f"{self.path}/{self.pattern}")


class Manifest(_Strict):
    """What a recording consists of, where it comes from and on what terms: `data_manifests/<id>.toml`.

    Without `core` and `parts`, all files are needed. Else those of the groups in `core` are and, where there are
    `parts`, those of one part at least: what can be used alone, such as a subject in one format. Other groups are
    extras.
    """

    id: str
    version: int
    title: str
    citation: str
    doi: str
    licence: str
    access: Literal["open", "click-through", "agreement"]
    terms_url: str = ""
    terms_version: str = ""
    source: str
    base_url: str
    direct: bool = True
    layout: str = ""
    core: list[str] = []
    parts: dict[str, list[str]] = {}
    listed: list[File] = Field(alias="file", default=[])
    series: list[Series] = []
    folders: list[Folder] = Field(alias="folder", default=[])

    @cached_property
    def files(self) -> list[File]:
        """All files whose names are known."""
        return self.listed + [file for series in self.series for file in series.files]

    @property
    def required(self) -> set[str]:
        """Groups that nothing works without: those of `core`, or all where neither core nor parts are named."""
        named = self.core or self.parts
        return set(self.core) if named else {entry.group for entry in (*self.files, *self.folders)}

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        paths = [file.path for file in self.files]
        if not paths and not self.folders:
            raise ValueError("no file, series or folder")
        if len(set(paths)) < len(paths):
            raise ValueError("a path is listed twice")
        groups = {entry.group for entry in (*self.files, *self.folders)}
        unknown = {*self.core, *(group for part in self.parts.values() for group in part)} - groups
        if unknown:
            raise ValueError(f"no file is in group {sorted(unknown)}")
        if self.direct and not self.base_url.endswith("/"):
            raise ValueError("base_url ends with a /, because paths follow it; or direct = false: it is a page")
        if self.access != "open" and not (self.terms_url and self.terms_version):
            raise ValueError(f"access {self.access!r} needs terms_url and terms_version")
        return self

    @cached_property
    def digest(self) -> str:
        """Hash of all paths and contents, in no order: the identity of the recording, as far as it is pinned."""
        hashes = {
            file.path: f"sha1:{file.sha1}" if file.sha256 == UNPINNED and file.sha1 else file.sha256
            for file in self.files
        }
        return fingerprint(hashes | {f"{folder.path}/{folder.pattern}": UNPINNED for folder in self.folders})

    def file(self, path: str) -> File:
        """The entry of one file. Raises UnknownNameError where the manifest has none."""
        for file in self.files:
            if file.path == path:
                return file
        for folder in self.folders:
            if folder.holds(path):
                return File(path=path, group=folder.group, sha256=UNPINNED)
        raise UnknownNameError(f"file of {self.id}", path, (file.path for file in self.files))

    def url(self, file: File) -> str:
        """The public address of one of its files, or of the page where they are had."""
        return file.url or (self.base_url + quote(file.path) if self.direct else self.base_url)

    @property
    def first_url(self) -> str:
        """The address of its first file, or of the page where they are had."""
        return self.url(self.files[0]) if self.files else self.base_url
