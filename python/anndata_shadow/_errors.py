"""What the core raises: each exception is also the standard one that Python code expects in its place.

``except KeyError`` catches an element that does not exist, ``except anndata_shadow.ShadowError`` everything that has to do with
shadows. What the operating system refuses is the plain :class:`OSError` (``FileNotFoundError``, ``PermissionError``, …), with
its number and the file.
"""

import io

__all__ = [
    "BackendError",
    "BadNameError",
    "BusyError",
    "CancelledError",
    "ClosedError",
    "DamagedError",
    "ExistsError",
    "NotAnnDataError",
    "NotFoundError",
    "NotSupportedError",
    "ReadOnlyError",
    "SelectionError",
    "ShadowError",
    "ShapeError",
    "StoreChangedError",
    "UnknownNameError",
    "ViewError",
    "WrongTypeError",
]


class ShadowError(Exception):
    """Base of all that goes wrong with shadows and is not the operating system's doing."""

    def __str__(self) -> str:
        # A KeyError shows the repr of its argument, which is meant for keys. These are sentences.
        return str(self.args[0]) if len(self.args) == 1 else super().__str__()


class NotFoundError(ShadowError, KeyError):
    """There is no such element; the message names those that are spelt alike."""


class UnknownNameError(ShadowError, KeyError):
    """A selection by a name that is not on the axis, or stands there more than once."""


class SelectionError(ShadowError, IndexError):
    """A position outside the axis, or a mask of another length."""


class ShapeError(ShadowError, ValueError):
    """A value that does not fit the axes of its slot."""


class BadNameError(ShadowError, ValueError):
    """A name that no element can have."""


class ExistsError(ShadowError, ValueError):
    """There is something at the place of what is to be new."""


class ViewError(ShadowError, ValueError):
    """A view was asked for what only the object that it was cut from can do."""


class ClosedError(ShadowError, ValueError):
    """The shadow is closed, and what was asked for is in the file."""


class NotAnnDataError(ShadowError, ValueError):
    """A file that holds no AnnData, or no MuData, where one was expected."""


class WrongTypeError(ShadowError, TypeError):
    """A value of a kind that cannot stand where it was put, or cannot be had as what was asked for."""


class ReadOnlyError(ShadowError, io.UnsupportedOperation):
    """Writing through a shadow that is open for reading: ``reopen('r+')`` first."""


class BusyError(ShadowError, BlockingIOError):
    """Somebody else holds the file in a mode that excludes this one."""


class StoreChangedError(ShadowError, OSError):
    """Another program has changed the file since it was opened: ``reopen`` it."""


class DamagedError(ShadowError, OSError):
    """What is in the file contradicts its format."""


class BackendError(ShadowError, OSError):
    """The HDF5 or the Zarr library refused."""


class NotSupportedError(ShadowError, NotImplementedError):
    """Something that is valid perhaps, and not handled."""


class CancelledError(ShadowError):
    """Whoever was told of the progress of long work has ended it. Nothing was changed."""
