"""Files that tasks (dask's) have open for reading: each once in a process, and no longer than it is read from.

A file that is open for reading cannot be opened for writing. What nobody has read from for a few seconds is closed
again, therefore, and `release` closes it at once.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from . import _core
from ._errors import StoreChangedError

__all__ = ["reading", "release"]

#: After how many seconds without a reader a file is closed.
IDLE = 2.0
#: How long `release` waits for those who read at this moment; the library waits as long for its own.
PATIENCE = 30.0


class _Opened:
    def __init__(self, core: Any) -> None:
        self.core = core
        self.readers = 0
        self.last_read = time.monotonic()


_files: dict[tuple, _Opened] = {}
_state = threading.Condition()
_is_tidied = False


@contextmanager
def reading(address: str, options: dict[str, Any], is_mudata: bool) -> Iterator[Any]:
    """This process' handle on a file, which nobody closes meanwhile.

    A handle that finds the file written over is of no use any more: who comes next gets a new one.
    """
    key = (address, is_mudata, tuple(sorted(options.items())))
    with _state:
        if key not in _files:
            kind = _core.MuShadow if is_mudata else _core.Shadow
            _files[key] = _Opened(kind.open(address, "r", **options))
            _tidy_later()
        opened = _files[key]
        opened.readers += 1
    try:
        yield opened.core
    except StoreChangedError:
        with _state:
            if _files.get(key) is opened:
                del _files[key]
        raise
    finally:
        with _state:
            opened.readers -= 1
            opened.last_read = time.monotonic()
            if not opened.readers and _files.get(key) is not opened:
                opened.core.close()
                _state.notify_all()


def release(path: str | os.PathLike[str]) -> None:
    """Closes what dask's tasks in this process have open of a file; they open it again when they need it.

    Whatever opens a shadow for writing calls it in its own process. In workers, ``client.run(release, path)`` spares
    the few seconds after which they close by themselves what they read no more.

    Parameters
    ----------
    path : path
        The file, or a path within it.
    """
    with _state:
        gone = [_files.pop(key) for key in list(_files) if _may_be_same(key[0], path)]
        for opened in gone:
            if not opened.readers:
                opened.core.close()
        _state.wait_for(lambda: not any(opened.readers for opened in gone), PATIENCE)


def _may_be_same(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two addresses may lie in one file: one is at or below the other."""
    one, other = (os.path.join(os.path.realpath(path), "") for path in (one, other))
    return one.startswith(other) or other.startswith(one)


def _tidy_later() -> None:
    """Starts the thread that closes what is idle, which ends as soon as nothing is open."""
    global _is_tidied
    if not _is_tidied:
        _is_tidied = True
        threading.Thread(target=_tidy, name="anndata-shadow-idle-files", daemon=True).start()


def _tidy() -> None:
    global _is_tidied
    while _is_tidied:
        time.sleep(IDLE / 4)
        with _state:
            for key, opened in list(_files.items()):
                if not opened.readers and time.monotonic() - opened.last_read >= IDLE:
                    _files.pop(key).core.close()
            _is_tidied = bool(_files)


def _in_child() -> None:
    # What the parent has opened is its own: left alone, and not closed here, which would let go of its locks.
    global _files, _state, _is_tidied
    _of_the_parent.append(_files)
    _files, _state, _is_tidied = {}, threading.Condition(), False


_of_the_parent: list[dict] = []
os.register_at_fork(after_in_child=_in_child)
