"""Locks that are free in a forked process, whoever held them at that moment: of all threads only the forking one is there."""

from __future__ import annotations

import os
import threading
import weakref

_made: weakref.WeakSet = weakref.WeakSet()


def new_lock() -> threading.RLock:
    """A lock that its holder may take again."""
    lock = threading.RLock()
    _made.add(lock)
    return lock


def _in_child() -> None:
    for lock in list(_made):
        # What the forking thread holds itself it gives back itself.
        if not lock._is_owned():
            lock._at_fork_reinit()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_child)
