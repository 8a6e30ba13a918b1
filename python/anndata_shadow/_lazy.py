"""Handles on what stays in the file: nothing is read until they are sliced, and then just that.

`LazyArray` is an element that has rows (X, a layer, an embedding, a column), `LazyFrame` is obs or var. A lazy shadow
(``lazy=True``) hands them out in place of arrays and frames; ``shadow.handle(path)`` gives them in any mode. They
count positions within the shadow they come from: those of a view, within the view.
"""

from __future__ import annotations

from typing import Any

from ._lazy_array import LazyArray
from ._lazy_frame import LazyFrame

__all__ = ["LazyArray", "LazyFrame", "handle"]

FRAMES = ("obs", "var", "raw/var")


def handle(shadow: Any, path: str) -> LazyArray | LazyFrame:
    """A handle on the element at a path of a shadow.

    Raises
    ------
    KeyError
        If there is no such element.
    TypeError
        If it has no rows, such as scalars and dicts.
    """
    if path in FRAMES:
        return LazyFrame(shadow, path)
    array = LazyArray(shadow, path)
    if not array.shape:
        raise TypeError(f"{path} is a {array._info.kind}, without rows to take: read it as it is")
    return array
