"""AnnData and MuData objects that stay in their files.

>>> from anndata_shadow import AnnDataShadow
>>> shadow = AnnDataShadow("pbmc.h5ad")  # doctest: +SKIP

`AnnDataShadow` and `MuDataShadow` look like the objects of anndata and mudata, and read what is asked for when it is
asked for. What is set stays in memory until ``write()``, which makes exactly these changes in the file, all or none.

`verify` looks for what is wrong with a file; `settings` are for all shadows; `release` closes what dask has opened.
What a file or a selection is refused for is a `ShadowError` as well as the standard exception that Python code
expects; a value that no AnnData can hold is a plain TypeError or ValueError.
"""

from importlib.metadata import PackageNotFoundError, version

from ._core import Change, Info, Receipt, Report, verify
from ._dask import release
from ._errors import *  # noqa: F403
from ._errors import __all__ as _errors
from ._mudata import MuDataShadow
from ._settings import settings
from ._shadow import AnnDataShadow

try:
    __version__ = version("anndata-shadow")
except PackageNotFoundError:  # imported from a source tree
    from ._core import __version__ as __version__

__all__ = ["AnnDataShadow", "Change", "Info", "MuDataShadow", "Receipt", "Report", "release", "settings", "verify", *_errors]
