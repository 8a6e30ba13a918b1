"""A tour of shadows of a Zarr store: what the tutorial of the package `shadows` does, step by step.

    python tutorial.py [STORE]

works on a copy of STORE, an AnnData as a Zarr directory with an embedding ``X_pca``, and prints each step with what
it shows. jax and polars are looked at where they are installed.
"""

import os  # noqa: F401 (for what `show` evaluates)
import shutil
import sys
import tempfile
from pathlib import Path

import zarr  # noqa: F401
from anndata import AnnData  # noqa: F401

from anndata_shadow import AnnDataShadow

STORE = Path(__file__).parents[2] / "data" / "pbmc68k_reduced_v3.zarr"


def say(text):
    print(f"\n# {text}")


def show(code, names):
    """Prints an expression, and what it gives, as a notebook would."""
    print(f"\n>>> {code}")
    value = eval(code, names)
    print(repr(value))
    return value


def main(store):
    folder = tempfile.TemporaryDirectory()
    file = Path(folder.name) / "pbmc.zarr"
    shutil.copytree(store, file)
    adata = AnnDataShadow(file, format="zarr")

    say("File: the connection that the shadow uses, and its path")
    show("adata.file", locals())
    show("os.path.basename(adata.file.store.path)", globals() | locals())
    adata.close()

    say("Permissions: purely for reading (r), or for writing (r+)")
    adata = AnnDataShadow(file, format="zarr", mode="r")
    show("adata.file.read_only", locals())
    say("An embedding is added in memory, and stays there when the file is opened anew for writing")
    adata.obsm["X_pca_copy"] = adata.obsm["X_pca"].copy()
    show('adata.reopen(mode="r+").file.read_only', locals())
    show("adata.obsm", locals())
    adata.discard()
    adata.close()

    say("What is in it")
    adata = AnnDataShadow(file, format="zarr")
    show("adata", locals())

    say("Class identity: tools that want an AnnData take a shadow")
    show("isinstance(adata, AnnData), isinstance(adata, AnnDataShadow)", globals() | locals())
    adata.close()

    say("Backends: arrays and tables of other libraries")
    try:
        import jax
        import polars  # noqa: F401
    except ImportError as missing:
        say(f"left out: {missing}")
    else:
        adata = AnnDataShadow(file, format="zarr", array_backend="jax", table_backend="polars")
        obs, pca = adata.obs, adata.obsm["X_pca"]
        show("type(obs).__module__.split('.')[0], obs.shape", locals())
        show("isinstance(pca, jax.Array), pca.shape, pca.dtype", locals() | {"jax": jax})
        adata.clear_cache()
        adata.close()
        del adata, obs, pca

    say("Writing: what was added goes to the file, and nothing else does")
    adata = AnnDataShadow(file, format="zarr")
    adata.obsm["X_pca_copy"] = adata.obsm["X_pca"].copy()
    show("adata.changes()", locals())
    show("adata.reopen('r+').write(clear_cache=True).reopen('r').obsm", locals())
    show("adata.receipt", locals())

    say("A shadow that is open for reading does not write")
    print("\n>>> adata.write()")
    try:
        adata.write()
    except OSError as error:
        print("Not available for .write():", error)

    say("Views: a part of the object, over the same file")
    head_view = adata[0:100]
    show("head_view.shape, head_view.obsm['X_pca'].shape", locals())
    show("head_view.obsm", locals())
    nested_view = head_view[:2, -3:]
    show("nested_view", locals())
    show("nested_view.obs", locals())
    show("nested_view.X.shape", locals())
    show("type(nested_view)", locals())
    nested_view.close()
    head_view.close()

    say("Only the part that is asked for is read")
    adata_subset = adata[:10, :100]
    show("adata_subset.X.shape", locals())
    adata_subset.close()

    say("Clean up: what was written is removed, and nothing holds the store")
    del adata.obsm["X_pca_copy"]
    adata.reopen("r+").write().close()
    show("sorted(zarr.open_group(file, mode='r')['obsm'])", globals() | locals())
    folder.cleanup()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else STORE)
