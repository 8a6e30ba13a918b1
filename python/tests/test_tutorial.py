"""The tutorial is run as a user would run it, and prints what it should."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import anndata_shadow
from anndata_shadow import AnnDataShadow, MuDataShadow

TUTORIAL = Path(__file__).parents[1] / "examples" / "tutorial.py"
STORE = TUTORIAL.parents[2] / "data" / "pbmc68k_reduced_v3.zarr"


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


# ---- the README


README = TUTORIAL.parents[1] / "README.md"


def test_the_first_minute(tmp_path):
    """Its code gives the object that is shown below it."""
    section = README.read_text().partition("## The first minute")[2]
    code, shown = (section.partition(f"```{kind}\n")[2].partition("```")[0] for kind in ("python", "text"))
    shutil.copytree(STORE, tmp_path / "pbmc.zarr")
    before_writing = code.partition("shadow.reopen(")[0].replace('"pbmc.zarr"', f"{str(tmp_path / 'pbmc.zarr')!r}")
    names = {}
    exec(before_writing, names)
    lines = [line for line in shown.splitlines() if line.strip() != "…"]
    assert len(lines) > 3
    for line in lines:
        assert line in str(names["shadow"]).splitlines()


# Public names of the package `shadows`, and rows of the README's tables that tell of them. `()` marks methods.
OF_BOTH = """
file raw obs var obs_names var_names n_obs n_vars shape obsm varm obsp varp uns obsm_keys() varm_keys()
is_view is_lazy lazy() eager() clear_cache() close() reopen() write() reopen_and_write()
""".split()
OF_ANNDATA = "X layers obs_vector() var_vector()".split()
OF_MUDATA = "mod n_mod obsmap varmap".split()
OF_SLOTS = "keys() values() items() get() pop() popitem() update() setdefault() clear()".split()
OF_RAW = "X var varm var_names n_obs n_vars shape keys()".split()


def rows_of(head):
    """Of the table with this head: what stands in backticks in the first column, by row."""
    table = README.read_text().partition(f"\n| {head} | here |\n|---|---|\n")[2].partition("\n\n")[0]
    first = [row.split(" | ")[0] for row in table.splitlines()]
    return [re.findall(r"`([^`]+)`", cell) for cell in first]


@pytest.fixture
def shadows():
    data = TUTORIAL.parents[2] / "data"
    return (
        AnnDataShadow(data / "pbmc68k_reduced.h5ad"),
        MuDataShadow(data / "h5mu" / "muon_2020_rna_atac_1000x219.h5mu"),
    )


def test_the_names_of_the_package_shadows_are_here(shadows):
    shadow, mdata = shadows
    slots = (shadow.obsm, shadow.layers, shadow.uns, mdata.obsmap)
    for names, objects in [
        (OF_BOTH, (shadow, mdata)),
        (OF_ANNDATA, (shadow,)),
        (OF_MUDATA, (mdata,)),
        (OF_SLOTS, slots),
        (OF_RAW, (shadow.raw,)),
    ]:
        for name in names:
            for found in objects:
                value = getattr(found, name.removesuffix("()"))
                assert callable(value) == name.endswith("()"), name


@pytest.mark.parametrize(
    ("head", "names"),
    [
        ("`AnnDataShadow`, `MuDataShadow`", OF_BOTH + OF_ANNDATA + OF_MUDATA),
        ("slots (`ElemShadow`)", OF_SLOTS),
        ("`raw` (`RawElemShadow`)", OF_RAW),
    ],
)
def test_the_readme_has_each_of_them(head, names):
    told = {re.sub(r"\(.*\)", "()", item) for row in rows_of(head) for item in row}
    assert {f".{name}" for name in names} - told == set()


def test_what_the_readme_says_is_not_here(shadows):
    shadow, _ = shadows
    for name in ("values", "items", "get", "pop", "file"):
        assert not hasattr(shadow.raw, name)
    assert len(shadow.raw) == shadow.n_obs
    assert not hasattr(anndata_shadow, "DataShadow")
    assert not callable(shadow.handle("X"))
    with pytest.raises(TypeError):
        _ = shadow.file["obsm"]
    with pytest.raises(TypeError, match="file"):
        shadow.reopen("r", file="other.h5ad")
    for option in ("filepath", "parent_format"):
        with pytest.raises(TypeError, match=option):
            AnnDataShadow(shadow.filename, **{option: shadow.filename})
