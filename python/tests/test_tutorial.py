"""The tutorial is run as a user would run it, and prints what it should."""

import subprocess
import sys
from pathlib import Path

from anndata_shadow import AnnDataShadow, MuDataShadow

TUTORIAL = Path(__file__).parents[1] / "examples" / "tutorial.py"


def test_tutorial():
    run = subprocess.run([sys.executable, TUTORIAL], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stdout + run.stderr
    cells = run.stdout.split("\n>>> ")
    shown = {cell.split("\n", 1)[0]: cell.split("\n", 1)[1].strip("\n") for cell in cells if "\n" in cell}
    expected = {
        "os.path.basename(adata.file.store.path)": "'pbmc.zarr'",
        "adata.file.read_only": "True",
        'adata.reopen(mode="r+").file.read_only': "False",
        "adata.obsm": "obsm:\tX_pcaᐁ, X_umap, X_pca_copy▲",
        "isinstance(adata, AnnData), isinstance(adata, AnnDataShadow)": "(True, True)",
        "type(obs).__module__.split('.')[0], obs.shape": "('polars', (700, 9))",
        "isinstance(pca, jax.Array), pca.shape, pca.dtype": "(True, (700, 50), dtype('float32'))",
        "adata.reopen('r+').write(clear_cache=True).reopen('r').obsm": "obsm:\tX_pca, X_pca_copy, X_umap",
        "adata.write()": "Not available for .write(): ",
        "head_view.shape, head_view.obsm['X_pca'].shape": "((100, 765), (100, 50))",
        "head_view.obsm": "obsm:\tX_pcaᐁ, X_pca_copy, X_umap",
        "nested_view.X.shape": "(2, 3)",
        "type(nested_view)": "<class 'anndata_shadow._shadow.AnnDataShadow'>",
        "adata_subset.X.shape": "(10, 100)",
        "sorted(zarr.open_group(file, mode='r')['obsm'])": "['X_pca', 'X_umap']",
    }
    for cell, output in expected.items():
        assert cell in shown, cell
        found = shown[cell].split("\n\n")[0]
        assert found.startswith(output) if output.endswith(": ") else found == output, cell
    assert "read-only mode" in shown["adata.write()"]
    assert "reopen('r+')" in shown["adata.write()"]
    nested = "View of AnnData Shadow object with n_obs × n_vars = 2 × 3 (original 700 × 765)"
    assert shown["nested_view"].startswith(nested)


NAMES = """
file X layers raw obs var obs_names var_names n_obs n_vars shape obsm varm obsp varp uns obsm_keys varm_keys
obs_vector var_vector
is_view is_lazy lazy eager clear_cache close reopen write reopen_and_write
""".split()
OF_MUDATA = "mod n_mod obsmap varmap".split()
OF_SLOTS = "keys values items get pop popitem update setdefault clear".split()
OF_RAW = "X var varm var_names n_obs n_vars shape".split()


def test_the_names_of_the_package_shadows_are_here():
    data = TUTORIAL.parents[2] / "data"
    shadow = AnnDataShadow(data / "pbmc68k_reduced.h5ad")
    mdata = MuDataShadow(data / "h5mu" / "muon_2020_rna_atac_1000x219.h5mu")
    for name in NAMES:
        getattr(shadow, name)
        if name not in ("X", "layers", "raw"):
            getattr(mdata, name)
    for name in OF_MUDATA:
        getattr(mdata, name)
    for slot in (shadow.obsm, shadow.layers, shadow.uns, mdata.obsmap):
        assert all(callable(getattr(slot, name)) for name in OF_SLOTS)
    for name in OF_RAW:
        getattr(shadow.raw, name)
    readme = (TUTORIAL.parents[1] / "README.md").read_text().partition("## The API of `shadows`")[2]
    for name in NAMES + OF_MUDATA + OF_SLOTS:
        assert name in readme, f"{name} is not in the table of the README"
