"""The tutorial is run as a user would run it, and prints what it should."""

import subprocess
import sys
from pathlib import Path

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
        "adata.reopen('r+').write(clear_cache=True).reopen('r').obsm": "obsm:\tX_pca, X_umap, X_pca_copy",
        "adata.write()": "Not available for .write(): ",
        "head_view.shape, head_view.obsm['X_pca'].shape": "((100, 765), (100, 50))",
        "head_view.obsm": "obsm:\tX_pcaᐁ, X_umap, X_pca_copy",
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
