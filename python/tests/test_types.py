"""What type checkers and editors know of the package."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import anndata_shadow
from anndata_shadow import AnnDataShadow, MuDataShadow, _file, _layers, _lazy, _mudata, _raw, _slots, _stream

PROGRAM = Path(__file__).with_name("typed_program.py")

#: Stand-ins, for pandas and mudata come without types, and reading all of anndata takes a minute on a busy machine.
STAND_INS = {
    "anndata": "class AnnData: ...\n",
    "mudata": "class MuData: ...\n",
    "pandas": "class Index: ...\nclass DataFrame: ...\ndef __getattr__(name: str) -> object: ...\n",
}

CONFIG = """
[mypy]
strict = True
ignore_missing_imports = True
follow_imports = silent
[mypy-zarr.*,h5py.*,jax.*,torch.*,polars.*,pyarrow.*,dask.*,awkward.*,scipy.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def complaints(tmp_path_factory):
    """Gives mypy's lines about the program, with further lines at its end."""
    folder = tmp_path_factory.mktemp("mypy")
    (folder / "mypy.ini").write_text(CONFIG)
    for name, text in STAND_INS.items():
        (folder / f"{name}.pyi").write_text(text)

    def found(*more):
        program = folder / "program.py"
        program.write_text(PROGRAM.read_text() + "".join(f"{line}\n" for line in more))
        options = ["--config-file", folder / "mypy.ini", "--cache-dir", folder / "cache", "--no-error-summary"]
        path = os.pathsep.join([str(Path(anndata_shadow.__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
        ran = subprocess.run(
            [sys.executable, "-m", "mypy", *options, program],
            cwd=folder,
            env=os.environ | {"MYPYPATH": str(folder), "PYTHONPATH": path.rstrip(os.pathsep)},
            capture_output=True,
            text=True,
        )
        assert ran.returncode in (0, 1), ran.stdout + ran.stderr
        return ran.stdout.splitlines()

    return found


def test_a_users_program_has_the_types_that_it_says(complaints):
    assert complaints() == []


#: Each has one mistake.
WRONG = [
    "assert_type(shadow.n_obs, str)",
    "assert_type(shadow.obs, pd.Index)",
    "shadow.no_such_thing",
    "shadow.obsm = 5",
    'shadow.reopen("w")',
    "AnnDataShadow(5)",
    "shadow.n_obs = 5",
    'handle.row_blocks(rows="many")',
]


def test_what_is_wrong_is_found(complaints):
    first = len(PROGRAM.read_text().splitlines()) + 1
    found = [re.match(r"program.py:(\d+): error", line) for line in complaints(*WRONG)]
    assert [int(line[1]) for line in found if line] == list(range(first, first + len(WRONG)))


PUBLIC = [
    *(AnnDataShadow, MuDataShadow, _mudata.Modalities, _raw.RawShadow, _file.ShadowFile, _file.Store),
    *(_slots.Slot, _slots.Uns, _slots.Maps, _layers.Layers, _lazy.LazyArray, _lazy.LazyFrame, _stream.Minibatches),
    type(anndata_shadow.settings),
]


def functions(kind):
    """All functions of a class and of its bases in the package, also those behind properties."""
    for base in kind.__mro__:
        for name, value in vars(base).items() if base.__module__.startswith("anndata_shadow") else ():
            if name.startswith("_") and not name.endswith("__"):
                continue
            parts = (value.fget, value.fset, value.fdel) if isinstance(value, property) else (value,)
            for part in parts:
                if inspect.isfunction(part) and part.__name__ != "<lambda>":
                    yield f"{base.__name__}.{name}", part


@pytest.mark.parametrize("kind", PUBLIC, ids=lambda kind: kind.__name__)
def test_all_that_is_public_has_types(kind):
    without = []
    for name, function in functions(kind):
        signature = inspect.signature(function)
        told = [each.annotation for each in list(signature.parameters.values())[1:]] + [signature.return_annotation]
        if inspect.Signature.empty in told:
            without.append(name)
    assert not without
