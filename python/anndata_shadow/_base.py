"""What AnnDataShadow and MuDataShadow share: file and modes, slots and frames, what was handed out, views, pickling."""

from __future__ import annotations

import gc
import pickle
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, Self, TypeVar, overload

import pandas as pd

from . import _backends, _show
from ._columns import drop_unused
from ._errors import BusyError
from ._file import InFile, Mode, StrPath, check_format, check_mode, locate
from ._fingerprint import is_watched
from ._frame import ShadowFrame
from ._frames import Framed
from ._lent import NOTHING, Lent, put, replace
from ._link import Linked
from ._opened import release
from ._select import normalize
from ._settings import settings
from ._slots import Slot, Uns

if TYPE_CHECKING:
    from ._lazy import LazyArray, LazyFrame

    SomeSlot = TypeVar("SomeSlot", bound=Slot)

    class SlotProperty(Generic[SomeSlot]):
        """What `_slot` makes, as type checkers see it: a `property` gives what is set."""

        @overload
        def __get__(self, shadow: None, owner: type) -> property: ...
        @overload
        def __get__(self, shadow: DataShadow, owner: type) -> SomeSlot: ...
        def __get__(self, shadow: DataShadow | None, owner: type) -> property | SomeSlot: ...
        def __set__(self, shadow: DataShadow, mapping: Mapping[Any, Any]) -> None: ...
        def __delete__(self, shadow: DataShadow) -> None: ...


def _slot(name: str, doc: str, kind: type[SomeSlot]) -> SlotProperty[SomeSlot]:
    """The property of a slot: reading gives its elements, setting replaces all of them, deleting removes them."""

    def get(self: DataShadow) -> SomeSlot:
        return kind(self, name)

    def put(self: DataShadow, mapping: Mapping[Any, Any]) -> None:
        kind(self, name)._replace(mapping)

    def clear(self: DataShadow) -> None:
        kind(self, name).clear()

    return property(get, put, clear, doc)  # type: ignore[return-value]  # SlotProperty is not there at run time


class DataShadow(Framed, Linked):
    """Base of `AnnDataShadow` and `MuDataShadow`."""

    # Which classes of the core and of others stand behind it.
    _opens: ClassVar[Any] = None
    _poses_as: ClassVar[tuple[str, str]] = ("", "")

    def __init__(
        self,
        path: StrPath | InFile,
        array_backend: Literal["numpy", "jax", "torch"] | Callable[[Any], Any] = "numpy",
        table_backend: Literal["pandas", "polars", "pyarrow"] | Callable[[pd.DataFrame], Any] = "pandas",
        mode: Mode = "r",
        format: str | None = None,
        lazy: bool = False,
        *,
        pose: bool = True,
        cache_budget: int | None = None,
        locking: bool = True,
        gene_index: bool = True,
    ) -> None:
        options = {"cache_budget": cache_budget, "locking": locking, "gene_index": gene_index}
        backends = _backends.resolve(array_backend, table_backend)
        address = locate(path)
        if check_mode(mode) == "r+":
            release(address)
        try:
            core = self._opens(address, mode, **options)
        except BusyError:
            # A shadow that nobody has any longer may be held by a circle of references.
            gc.collect()
            core = self._open_after_all(address, mode, options)
        try:
            check_format(format, core.format)
        except Exception:
            core.close()
            raise
        self._start(core, address, options, backends, lazy, pose)

    def _open_after_all(self, address, mode, options):
        try:
            return self._opens(address, mode, **options)
        except BusyError as error:
            if "this process" not in str(error):
                raise
            older = "here that is an older shadow, or a view, a frame or a modality of one"
            raise BusyError(f"{error} ({older}; of a notebook's cell that is run again, the one before)") from None

    def _start(self, core, address, options, backends, lazy, pose, parent=None, owner=None):
        self._core = core
        self._address = address
        self._options = options
        self._backends = backends
        self._lazy = lazy
        self._pose = pose
        # Of a view: what it was cut from. Of a modality: its MuData.
        self._parent = parent
        self._owner = owner
        self._lent = Lent(core, tracked=not core.is_view)
        # Of a view: colors that were set in it.
        self._own_colors = {}
        self.receipt = None

    @classmethod
    def _over(cls, core, like, address=None, parent=None, owner=None):
        """A shadow over a core's shadow that is open, with the options of another one."""
        self = object.__new__(cls)
        address = like._address if address is None else address
        self._start(core, address, like._options, like._backends, like._lazy, like._pose, parent, owner)
        return self

    # ---- class identity

    @property  # type: ignore[misc]  # that of `object` can be set, too
    def __class__(self) -> type[Any]:
        """`anndata.AnnData` (or `mudata.MuData`), for tools that ask; `type(shadow)` tells the truth."""
        module = sys.modules.get(self._poses_as[0])
        if module is None or not (settings.pose and self.__dict__.get("_pose", False)):
            return type(self)
        return getattr(module, self._poses_as[1])

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *self.__dict__})

    # ---- laziness

    @property
    def is_lazy(self) -> bool:
        """Whether elements come as handles that read when they are sliced."""
        return self._lazy

    def lazy(self) -> Self:
        """From now on, elements come as handles that read when they are sliced."""
        self._lazy = True
        return self

    def eager(self) -> Self:
        """From now on, elements come as arrays and frames."""
        self._lazy = False
        return self

    # A path of which only is known that it is text is taken for that of an array, as nearly all are.
    @overload
    def handle(self, path: Literal["obs", "var", "raw/var"]) -> LazyFrame: ...  # type: ignore[overload-overlap]
    @overload
    def handle(self, path: str) -> LazyArray: ...
    def handle(self, path: str) -> LazyArray | LazyFrame:
        """A lazy handle of an element, whatever the mode: ``shadow.handle("X")[:100]`` reads these rows.

        Parameters
        ----------
        path : str
            ``"X"``, ``"layers/counts"``, ``"obsm/X_pca"``, ``"obs/louvain"``, ``"obs"``, ``"raw/X"``.
        """
        from . import _lazy

        self._settle(path)
        return _lazy.handle(self, path)

    # ---- shape and names

    @property
    def n_obs(self) -> int:
        """Number of observations."""
        return self._core.n_obs

    @property
    def n_vars(self) -> int:
        """Number of variables."""
        return self._core.n_vars

    _n_obs = n_obs
    _n_vars = n_vars

    @property
    def shape(self) -> tuple[int, int]:
        """Observations, variables."""
        return self.n_obs, self.n_vars

    def __len__(self) -> int:
        return self.n_obs

    @property
    def is_view(self) -> bool:
        """Whether this is a view of another shadow."""
        return self._core.is_view

    # ---- slots

    obsm = _slot("obsm", "Arrays and frames over observations, such as embeddings.", Slot)
    varm = _slot("varm", "Arrays and frames over variables.", Slot)
    obsp = _slot("obsp", "Matrices of observations × observations.", Slot)
    varp = _slot("varp", "Matrices of variables × variables.", Slot)
    uns = _slot("uns", "Everything else, nested to any depth.", Uns)

    def obs_keys(self) -> list[str]:
        """Names of the columns of obs."""
        return list(self._eager_frame("obs").columns)

    def var_keys(self) -> list[str]:
        """Names of the columns of var."""
        return list(self._eager_frame("var").columns)

    def obsm_keys(self) -> list[str]:
        """Names in obsm."""
        return list(self.obsm)

    def varm_keys(self) -> list[str]:
        """Names in varm."""
        return list(self.varm)

    def uns_keys(self) -> list[str]:
        """Names in uns, in order."""
        return sorted(self.uns)

    # ---- elements, by path

    def _get(self, path):
        """The element at a path, the same object each time."""
        if self.is_view:
            self._settle(path)
        if self._lazy and not path.startswith("uns/"):
            info = self._core.info(path)
            if info is not None and info.shape and info.kind not in {"mapping", "opaque"}:
                return self.handle(path)
        found = self._lent.get(path)
        if found is NOTHING:
            found = self._backends.element(self._core.read(path))
            aligned = path.startswith(("obsm/", "varm/")) and isinstance(found, pd.DataFrame)
            if self.is_view and aligned and self._drops_unused:
                drop_unused(found)
            found = self._lent.lend(path, found)
        return found

    def _read_part(self, path, selection):
        """A part of an element, from memory if it is there."""
        self._settle(path)
        return self._backends.element(self._core.read_part(path, selection))

    def _set(self, path, value):
        put(self._core, path, value)
        self._keep(path, value)

    def _replace(self, slot, elements):
        """Makes these all that is in a slot, or changes nothing."""
        replace(self._core, slot, elements)
        self._lent.forget(slot)
        for name, value in elements.items():
            self._keep(f"{slot}/{name}", value)

    def _keep(self, path, value):
        """Hands out what was set, from now on, if changes in it can be noticed."""
        if is_watched(value):
            self._lent.take(path, value)
        else:
            self._lent.forget(path)

    def _remove(self, path):
        self._core.remove(path)
        self._lent.forget(path)

    def _rename(self, old, new):
        self._settle(old)
        self._core.rename(old, new)
        self._lent.rename(old, new)

    def _holds(self, path):
        """Whether an element was handed out, and is in memory for that."""
        frame, _, column = path.rpartition("/")
        frame, element = self._lent.get(frame), self._lent.get(path)
        if isinstance(frame, ShadowFrame):
            return frame._loan.holds(column)
        return element is not NOTHING and not (isinstance(element, ShadowFrame) and element._is_lazy)

    # ---- what was changed in place

    def _settle(self, path: str | None = None) -> None:
        """Sets what was changed in place: all, or at, above and below `path`. In a view: of what it was cut from."""
        if self._parent is not None:
            self._parent._settle(path)
        elif self._owner is not None and path is None:
            self._owner._settle()
        else:
            self._lent.settle(path)

    def _try_to_settle(self, path: str | None = None) -> bool:
        """As `_settle`; false if something cannot be stored, which is said when it is to be written."""
        try:
            self._settle(path)
        except (TypeError, ValueError):
            return False
        return True

    def _forget(self, path: str | None = None) -> None:
        self._lent.forget(path)

    def _forget_clean(self) -> None:
        if self._owner is not None and self._parent is None:
            return self._owner._forget_clean()
        if self._parent is not None:
            # What a view has handed out goes by generations.
            return self._parent._forget_clean()
        self._lent.forget_clean()

    # ---- views

    def _cut(self, index: Any) -> Self:
        obs, var = normalize(index, lambda: self.obs_names, lambda: self.var_names)
        for frame, part in (("obs", obs), ("var", var)):
            if isinstance(part, list):
                # The core looks names up among those that it has.
                self._settle(frame)
        return type(self)._over(self._core.select(obs, var), self, parent=self)

    # ---- pickling

    def __reduce__(self) -> tuple[Any, ...]:
        """Path, options, and the rows of a view: the copy opens the file for reading itself."""
        self._settle()
        if self._core.changes():
            raise pickle.PicklingError(
                f"{self.filename} has changes that are not in the file yet: write() first, or discard() them"
            )
        look = (self._backends.array_backend, self._backends.table_backend, self._lazy, self._pose)
        rows = self._core.rows() if self.is_view else None
        address, closed = self._address, self._core.mode is None
        return (_reopened, (type(self), address, self._options, look, rows, closed))

    # ---- shown

    def _repr_html_(self) -> str:
        return _show.html(repr(self))


def _reopened(kind, address, options, look, rows, closed):
    """What a pickled shadow becomes."""
    array_backend, table_backend, lazy, pose = look
    shadow = kind(address, array_backend, table_backend, lazy=lazy, pose=pose, **options)
    if rows is not None:
        part = shadow._core.select(*(slice(None) if some is None else some for some in rows))
        shadow = kind._over(part, shadow, parent=shadow)
    if closed:
        (shadow if shadow._parent is None else shadow._parent).close()
    return shadow
