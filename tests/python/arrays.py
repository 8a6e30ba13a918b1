#!/usr/bin/env python3
"""Read every array of a Zarr group as zarr-python and anndata do.

    python arrays.py JOB.json ANSWER.json

Job: `path`, `like` (only arrays whose name begins so). Answer: name -> description (see make_codecs.py).
"""
import json
import sys
from pathlib import Path

import numpy as np
import zarr
from anndata.io import read_elem
from make_codecs import describe


def main(question, answer):
    job = json.loads(Path(question).read_text())
    group = zarr.open_group(job["path"], mode="r", use_consolidated=False)
    found = {}
    for name in sorted(p.name for p in Path(job["path"]).iterdir() if p.is_dir() and p.name.startswith(job["like"])):
        array = group[name]
        found[name] = describe(array[...])
        if "encoding-type" in array.attrs:
            seen = describe(read_elem(array))
            # anndata makes text of the byte strings in a record.
            for field, as_stored in found[name].get("fields", {}).items():
                if as_stored["dtype"].startswith("bytes"):
                    seen["fields"][field] = as_stored
            if seen != found[name]:
                raise SystemExit(f"anndata reads another {name}")
    Path(answer).write_text(json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
