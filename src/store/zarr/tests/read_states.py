"""What zarr-python finds in stores, with and without consolidated metadata: nodes, attributes and values. Of a group with
`column-order` only what is listed there is looked at, as anndata does; what is listed and not there is told as `!missing`."""

import json
import sys
import warnings

import zarr

warnings.simplefilter("ignore")


def walk(group, at, found):
    found[at] = {"attrs": dict(group.attrs)}
    members = dict(group.members())
    order = group.attrs.get("column-order")
    if order is not None:
        names = [group.attrs["_index"], *order]
        for name in names:
            if name not in members:
                found["!missing"] = f"{at}/{name}"
        members = {name: node for name, node in members.items() if name in names}
    for name, node in members.items():
        path = f"{at}/{name}".lstrip("/")
        if isinstance(node, zarr.Group):
            walk(node, path, found)
        else:
            found[path] = {"attrs": dict(node.attrs), "values": node[...].tolist()}


def read(path, consolidated):
    """What is found, and whether consolidated metadata were there to be used."""
    found = {}
    try:
        group = zarr.open_group(path, mode="r", use_consolidated=consolidated)
        walk(group, "", found)
    except Exception as e:  # noqa: BLE001
        return {"!error": repr(e)}, True
    return found, group.metadata.consolidated_metadata is not None


def both(path):
    found, used = read(path, None)
    return [found, read(path, False)[0] if used else found]


print(json.dumps([both(path) for path in sys.stdin.read().splitlines()]))
