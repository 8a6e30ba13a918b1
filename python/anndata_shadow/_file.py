"""The file behind a shadow: `.file`, and what may be given in place of a path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal, Protocol

from . import _core
from ._errors import BusyError, ShadowError

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None

FORMATS = {"h5": "hdf5", "hdf5": "hdf5", "h5ad": "hdf5", "h5mu": "hdf5", "zarr": "zarr"}


Mode = Literal["r", "r+"]
StrPath = str | os.PathLike[str]


class InFile(Protocol):
    """An open h5py.File, h5py.Group or zarr.Group, none of which needs to be there."""

    @property
    def name(self) -> Any: ...


class Store:
    """The store of a Zarr group, as zarr has it.

    Attributes
    ----------
    path : str
        Where it is.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def __repr__(self) -> str:
        return f"<store {self.path!r}>"


class ShadowFile:
    """The open file of a shadow.

    Attributes
    ----------
    filename : str
        The file, or the directory of a Zarr store.
    store : Store
        The same, as ``store.path``.
    mode : {"r", "r+", None}
        None when closed.
    read_only : bool
        Whether it cannot be written to as it is open now.
    """

    def __init__(self, shadow: Any) -> None:
        self._shadow = shadow

    @property
    def filename(self) -> str:
        return container(self._shadow._core.path)

    @property
    def store(self) -> Store:
        return Store(self.filename)

    @property
    def format(self) -> Literal["hdf5", "zarr", "zarr-zip"]:
        """``"hdf5"``, ``"zarr"``, or ``"zarr-zip"``."""
        return self._shadow._core.format

    @property
    def mode(self) -> Mode | None:
        return self._shadow._core.mode

    @property
    def read_only(self) -> bool:
        return self.mode != "r+"

    @property
    def is_open(self) -> bool:
        """Whether it is open."""
        return self.mode is not None

    def close(self) -> None:
        """Closes it: as `close` of the shadow."""
        self._shadow.close()

    def __bool__(self) -> bool:
        return self.is_open

    def __fspath__(self) -> str:
        return self.filename

    def __repr__(self) -> str:
        what = "HDF5 file" if self.format == "hdf5" else "Zarr store"
        return f"<{what} {self.filename!r} ({f'mode {self.mode}' if self.mode else 'closed'})>"


def container(path: StrPath) -> str:
    """The file that a path leads into; of a Zarr store, the path itself, which is a directory."""
    found = Path(path)
    while not found.exists() and found != found.parent:
        found = found.parent
    return str(found) if found.is_file() else str(path)


def locate(where: Any) -> str:
    """The path of whatever tells one: text, `os.PathLike`, an open h5py.File or Group, an open zarr.Group or its store.

    It is absolute, so that a shadow stays with its file wherever the program goes. ``..`` is left to the system, which
    knows of symbolic links.
    """
    return str(Path(_tell(where)).absolute())


def _tell(where):
    library = type(where).__module__.partition(".")[0]
    if library == "h5py":
        return _inside(where.file.filename, where.name)
    if library == "zarr":
        store, name = (where.store, where.path) if hasattr(where, "store") else (where, "")
        root = getattr(store, "root", None) or getattr(store, "path", None)
        if root is None:
            kind = type(store).__name__
            raise NotImplementedError(f"a Zarr group in a {kind} is not in a file: remote stores are not read yet")
        return _inside(os.fspath(root), name)
    if library == "fsspec":
        raise NotImplementedError("remote files are not read yet: download them first")
    return os.fsdecode(where)


def _inside(path, name):
    name = str(name).strip("/")
    return os.path.join(os.fsdecode(path), name) if name else os.fsdecode(path)


def check_free(where):
    """Refuses to write over a file that somebody has open. HDF5 would empty it, and then look for locks.

    Raises
    ------
    BusyError
        If another shadow or another program holds a lock on it.
    """
    try:
        path = locate(where)
    except (TypeError, NotImplementedError):
        return
    if os.path.isdir(path):
        return _check_store(path)
    if fcntl is None or not os.path.isfile(path):
        return
    with open(path, "rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BusyError(
                f"{path} is open, here or in another program, and cannot be written over: close it there first"
            ) from None
        except OSError:
            # A file system without locks.
            return


def _check_store(path):
    # Who has a Zarr store open for reading only is told when it reads that it was changed.
    for kind in (_core.Shadow, _core.MuShadow):
        try:
            kind.open(path, "r+").close()
        except BusyError:
            raise
        except (ShadowError, OSError):
            # Not one of ours: what writes there says so.
            continue


def check_format(wanted, found):
    """Refuses a `format` that is not that of the file.

    Raises
    ------
    ValueError
        If the file has another format, or nobody knows the one asked for.
    NotImplementedError
        For Parquet.
    """
    if wanted is None:
        return
    if wanted in {"parquet", "pq", "pqdata"}:
        raise NotImplementedError("Parquet stores are not read: the formats are HDF5 and Zarr")
    if wanted not in FORMATS:
        known = ", ".join(map(repr, FORMATS))
        raise ValueError(f"unknown format {wanted!r}: there are {known}, or None to look into the file")
    if FORMATS[wanted] != found.partition("-")[0]:
        raise ValueError(f"the file is {found}, not {wanted!r}: leave `format` out, it is found by content")


def check_mode(mode):
    """Refuses modes that would create or truncate a file."""
    if mode not in {"r", "r+"}:
        raise ValueError(f"mode {mode!r}: a shadow opens what exists, by 'r' to read and by 'r+' to write, too")
    return mode
