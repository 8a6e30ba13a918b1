"""What a shadow does with its file: open it in another mode, write, close, let go of what was read."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

import pandas as pd

from . import _core
from ._core import Change, Receipt, Report
from ._file import InFile, Mode, ShadowFile, StrPath, check_free, check_mode, locate


class Linked:
    """The part of a shadow that is about its file."""

    receipt: Receipt | None

    if TYPE_CHECKING:
        # What the classes that have this part bring.
        _core: Any
        _lent: Any

        @property
        def is_view(self) -> bool: ...
        def _settle(self, path: str | None = None) -> None: ...
        def _try_to_settle(self, path: str | None = None) -> bool: ...
        def _forget(self, path: str | None = None) -> None: ...
        def _forget_clean(self) -> None: ...
        def _keep_names(self) -> None: ...
        def to_memory(self, copy: bool = False) -> Any: ...
        def copy(self) -> Any: ...

    # ---- the file

    @property
    def file(self) -> ShadowFile:
        """The file: its `filename` (or `store.path`), `mode`, and whether it is `read_only`."""
        return ShadowFile(self)

    @property
    def filename(self) -> str:
        """Path of the file or of the directory of the Zarr store."""
        return self.file.filename

    @property
    def mode(self) -> Mode | None:
        """``"r"``, ``"r+"``, or None when closed."""
        return self._core.mode

    @property
    def isbacked(self) -> bool:
        """Always false: nothing is backed by the means of anndata."""
        return False

    def reopen(self, mode: Mode = "r") -> Self:
        """Opens the file in another mode, under this very object: what was read and set, and all views, are kept.

        If others have changed the file meanwhile, but not its shape, changes that are pending go by position, as views
        do, to the rows that it has now; there is a warning then.

        Parameters
        ----------
        mode : {"r", "r+"}
            To read, or to write, too.

        Returns
        -------
        The shadow itself.
        """
        check_mode(mode)
        if self._core.mode is not None:
            self._try_to_settle()
            self._keep_names()
        if mode == "r+":
            self._release()
        before = self._core.generation()
        self._core.reopen(mode)
        if self._core.generation() != before:
            # Others have changed the file.
            self._try_to_settle()
            self._forget_clean()
            if pending := len(self._core.changes()):
                warnings.warn(
                    f"{self.filename} was changed by others: {_counted(pending)} kept, for the rows that it has now, by "
                    "position; discard() takes back what does not belong there",
                    stacklevel=2,
                )
        return self

    def close(self) -> Self:
        """Closes the file. What was read and set stays in memory, and `reopen` goes on with it.

        A view has no file of its own: closing it lets go of what it has read.

        Returns
        -------
        The shadow itself.
        """
        if self.is_view:
            return self.clear_cache()
        if self._core.mode is not None:
            self._try_to_settle()
            self._keep_names()
        self._release()
        self._core.close()
        return self

    def _release(self):
        from . import _dask

        _dask.release(self._core.path)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        self.close()
        if kind is None and not self.is_view and (pending := len(self._core.changes())):
            warnings.warn(
                f"{self.filename} was closed, and {_counted(pending)} not written: write() belongs into the with block",
                stacklevel=2,
            )

    # ---- writing

    def changes(self) -> list[Change]:
        """What `write` would do, one `Change` each: its `path`, `kind` and size; `str` tells it in a line."""
        self._settle()
        return self._core.changes()

    def discard(self, path: str | None = None) -> Self:
        """Takes back what is pending: the object is as in the file again.

        Parameters
        ----------
        path : str, optional
            Only what is there and below: ``"obsm/X_pca"``, ``"obs/louvain"``, ``"uns"``.

        Returns
        -------
        The shadow itself.
        """
        settled = path is None or self._try_to_settle(path)
        aligned = self._aligned_frames(path)
        self._keep_names()
        try:
            self._core.discard(path)
        except KeyError:
            # What cannot be stored is pending here only.
            if settled:
                raise
        for each in (path, *aligned):
            self._forget(each)
        return self

    def _aligned_frames(self, path):
        """Frames that get other row names when what is at `path` is taken back, what was changed in them settled."""
        slot = {"obs": "obsm", "var": "varm"}.get(path.partition("/")[0] if path else None)
        if slot is None:
            return []
        paths = [f"{slot}/{name}" for name in self._core.keys(slot)]
        return [at for at in paths if isinstance(self._lent.get(at), pd.DataFrame) and self._try_to_settle(at)]

    def write(
        self,
        filename: StrPath | InFile | bool | None = None,
        *,
        clear_cache: bool = False,
        safety: Literal["journal", "copy"] = "journal",
        **options: Any,
    ) -> Self:
        """Writes what is pending to the file: all of it, or on any failure nothing.

        `receipt` tells afterwards what was written.

        Parameters
        ----------
        filename : path, optional
            Another file: all of the object is written there by anndata (or mudata), from memory, and `options` are
            theirs.
        clear_cache : bool
            Whether what is in memory is let go of afterwards.
        safety : {"journal", "copy"}
            Of an HDF5 file: how it is made sure that an interruption leaves the old file or the new one.

        Returns
        -------
        The shadow itself.

        Raises
        ------
        OSError
            If the file is open in read-only mode: ``reopen('r+')`` first.
        ValueError
            For a view, and if the shadow is closed.
        """
        if isinstance(filename, bool):
            clear_cache, filename = filename, None
        if filename is not None and not self._is_own(filename):
            self._write_to(filename, **options)
            return self
        if options:
            raise TypeError(f"write() has no options {', '.join(options)}: they are for writing to another file")
        self._settle()
        self.receipt = self._core.write(clear_cache, safety)
        if clear_cache:
            self._forget_clean()
        return self

    def write_zarr(self, store: Any = None, **options: Any) -> None:
        """`write`; with another `store`, all of it is written there by anndata (or mudata)."""
        self._write_by("write_zarr", store, options)

    def _write_by(self, method, where, options):
        """Writes all of it by a method of what it is in memory; to its own file, what is pending."""
        if where is None or self._is_own(where):
            self.write(**options)
        else:
            check_free(where)
            getattr(self.to_memory(), method)(where, **options)

    def _write_to(self, filename, **options):
        self._write_by("write_zarr" if str(filename).endswith(".zarr") else self._writes_files_by, filename, options)

    def __copy__(self) -> Any:
        return self.copy()

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self.copy()

    def _write_copy(self, filename):
        if self._is_own(filename):
            raise ValueError(f"{filename} is the file of this very shadow: a copy goes to another one")
        self._write_to(filename)

    def _is_own(self, where):
        """Whether it is the file of this shadow.

        Raises
        ------
        ValueError
            If one is inside the other: who writes there would write over what is still to be read.
        """
        try:
            path = locate(where)
        except (TypeError, NotImplementedError):
            # Not in a file.
            return False
        one, own = os.path.realpath(path), os.path.realpath(self.filename)
        if one == own or same_file(one, own):
            return True
        if os.path.commonpath([one, own]) in {one, own}:
            raise ValueError(f"{path} and the store of this shadow, {self.filename}, are one inside the other")
        return False

    def reopen_and_write(
        self, mode: Mode = "r+", clear_cache: bool = False, safety: Literal["journal", "copy"] = "journal"
    ) -> Self:
        """Opens the file for writing, writes what is pending, and goes back to the mode that it was in before.

        Returns
        -------
        The shadow itself.
        """
        before = self._core.mode
        self.reopen(mode)
        try:
            self.write(clear_cache=clear_cache, safety=safety)
        finally:
            self.reopen(before) if before else self.close()
        return self

    def verify(self, deep: bool = False, progress: Callable[[int, int], bool | None] | None = None) -> Report:
        """Looks for what is wrong with the file as it is on disk, and changes nothing.

        Parameters
        ----------
        deep : bool
            Whether all data are read, too.
        progress : callable, optional
            Told how much is done and how much there is; ends the work by returning False.

        Returns
        -------
        A `Report`: `is_sound`, `findings`, and all of it by `str`.
        """
        return _core.verify(self._core.path, deep, progress)

    # ---- memory

    def clear_cache(self) -> Self:
        """Lets go of what was read and not changed. What was handed out goes on living, but is the shadow's no more.

        Returns
        -------
        The shadow itself.
        """
        if self.is_view:
            self._forget()
        else:
            self._settle()
            self._forget_clean()
        self._core.clear_cache()
        return self

    def io_stats(self) -> dict[str, int]:
        """What was read and written so far: documents, chunks, bytes."""
        return self._core.io_stats()


def _counted(changes):
    return "1 pending change is" if changes == 1 else f"{changes} pending changes are"


def same_file(one: StrPath, other: StrPath) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
