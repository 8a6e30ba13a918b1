"""What `run.py` found, as tables, beside the targets of the project."""

import importlib.metadata
import os
import platform
import statistics
import subprocess
from pathlib import Path

NAMES = {
    "T1": "open and show",
    "T2": "one obs column",
    "T3": "all of obs",
    "T4": "X[:100]",
    "T5": "X, 1000 random rows",
    "T6": "X, one gene",
    "T6i": "X, one gene, by the index",
    "T7": "X, 5 % of rows × 200 genes",
    "T8": "one embedding",
    "T9": "all of X",
    "T10": "add an embedding",
    "T11": "add an obs column",
    "T12": "X of a view of a view, 500 rows",
    "T13": "sum, variance, nnz per gene",
    "T14": "a batch of 256 random rows",
    "T14b": "a batch out of shuffled blocks",
    "T15x1": "T5 in eight parts, one thread",
    "T15x2": "the same, two threads",
    "T15x4": "the same, four threads",
    "T16": "add the gene index",
}
PACKAGES = ("anndata", "zarr", "zarrs", "h5py", "numcodecs", "dask", "xarray", "annbatch", "deflate", "numpy", "scipy")


def targets(name, fmt, task):
    """What is to be reached: (figure, bound). `hand`, `lazy` and `annbatch` tell how many times faster, the
    others are upper bounds; `python_ms` is what a task takes by the Python package, beyond 1.1 times what it takes here."""
    plain, zarr = fmt == "h5ad", fmt.startswith("zarr")
    opened = [("process_ms", 20), ("peak_mb", 40)]
    python = [("python_ms", 1)]
    if name == "wide" or (name == "msi" and task in ("T1", "T4")):
        return {"T1": opened + python, "T2": python, "T4": [("read_part", 1)] + python}.get(task, [])
    if task in ("T4", "T5", "T7", "T12"):
        by = python if task in ("T4", "T5") else []
        return ([("hand", 5)] if plain else [("hand", 1.6), ("lazy", 4)]) + by
    faster = {"h5ad": 1, "h5ad_gzip": 2.5, "zarr2_blosc": 1}.get(fmt, 1.6)
    return {
        "T1": [("lazy", 50), ("hand", 1), *opened, *python],
        "T2": [("lazy", 15), ("hand", 1), *python],
        "T3": [("lazy", 15), ("hand", 1)],
        "T6": [("hand", 3 if plain else 1.6), ("rise_mb", 100)],
        "T6i": [("hand", 50)],
        "T8": [("hand", faster), *python],
        "T9": [("hand", faster), ("rise_part", 1.1)],
        "T10": [("hand", 3 if zarr else 1)],
        "T11": [("hand", 3 if zarr else 1)],
        "T13": [("hand", 2), ("peak_mb", 200)],
        "T14": [("hand", 8 if plain else 1.6)],
        "T14b": [("annbatch", 1)] if zarr else [],
    }.get(task, [])


def about(args):
    """Machine, versions and settings."""
    def told(*command):
        try:
            return subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent).stdout.strip()
        except OSError:
            return ""

    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = "absent"
    cpu = memory = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        cpu = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
        memory = f"{int(Path('/proc/meminfo').read_text().split()[1]) / 1e6:.0f} GB"
    return {
        "commit": told("git", "describe", "--always", "--dirty"),
        "machine": f"{cpu}, {os.cpu_count()} cores, {memory}, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": versions,
        "rounds": args.n,
        "cores": os.cpu_count(),
    }


def best(rows, peers):
    """The fastest of these peers; `None` if none of them has a figure."""
    there = [row for row in rows if row["peer"] in peers and row["n"]]
    return min(there, key=lambda row: row["wall_s"], default=None)


def figures(rows, limit):
    """Ours, the best of others, and what the targets are about."""
    ours = best(rows, ["shadow"])
    waits = rows[0]["task"] in ("T10", "T11")  # we wait for the disk: so shall those that we are compared with
    hands = [hand + ("+fsync" if waits else "") for hand in ("h5py", "zarr", "zarr+zarrs")]
    others = {"hand": best(rows, hands), "lazy": best(rows, ["read_lazy", "read_lazy+zarrs"])}
    others["annbatch"] = best(rows, ["annbatch"])
    found = {k: other["wall_s"] / ours["wall_s"] for k, other in others.items() if other and ours}
    if ours:
        rise = ours["peak_rss_mb"] - ours["rss_start_mb"]
        found |= {"process_ms": ours["process_s"] * 1e3, "peak_mb": ours["peak_rss_mb"], "rise_mb": rise}
        python = best(rows, ["python"])
        if python:
            found["python_ms"] = (python["wall_s"] - 1.1 * ours["wall_s"]) * 1e3
        if limit and "result_mb" in limit:
            found["rise_part"] = rise / limit["result_mb"]
        if limit:
            found["read_part"] = ours["read_mb"] / limit["at_most_read_mb"]
    return ours, others, found


def short(x):
    return f"{x:.3g}" if x < 1000 else f"{x:.0f}"


def cell(row, ours=False):
    """Seconds / peak MB, and of ours MB read, or MB of the receipt and by how much the store grew."""
    if not row:
        return ""
    text = f"{short(row['wall_s'])} / {short(row['peak_rss_mb'])}"
    if "disk_mb" in row:
        text += f" / w {short(row['receipt_mb'])}, disk {row['disk_mb']:+.3g}" if ours else ""
    elif ours:
        text += f" / {short(row['read_mb'])}"
    return text + ("~" if row["n"] < 2 else "")


def target(figure, bound, found):
    """A target and whether it is met, in words."""
    words = {
        "hand": ("× by hand", "≥"), "lazy": ("× read_lazy", "≥"), "annbatch": ("× annbatch", "≥"),
        "process_ms": ("ms a process", "<"), "peak_mb": ("MB", "<"), "rise_mb": ("MB above start", "<"),
        "python_ms": ("ms beyond 110 % from Python", "<"),
        "rise_part": ("× result in memory", "≤"), "read_part": ("× its chunks read", "≤"),
    }  # fmt: skip
    unit, sign = words[figure]
    value = found.get(figure)
    if value is None:
        return f"{sign} {bound} {unit}: not measured"
    met = value >= bound if sign == "≥" else value <= bound if sign == "≤" else value < bound
    return f"{sign} {bound} {unit}: {'met' if met else f'**missed, {short(value)}**'}"


def tables(whole):
    about = whole["about"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    text = [
        f"{about['machine']}; commit {about['commit']}; Python {about['python']}, {versions}. "
        f"Medians of {about['rounds']} fresh processes, `~` of one; warm page cache.",
        "",
        "Ours: seconds / peak MB / MB read (T10, T11, T16: MB of the receipt, growth of the store). Others: seconds / peak MB. "
        "Limit: seconds that one core needs to decode what has to be decoded, and ours ÷ (limit ÷ cores). "
        "T10, T11: by hand with fsync, too.",
    ]
    stores = list(dict.fromkeys((row["set"], row["format"]) for row in whole["results"]))
    for name, fmt in stores:
        limits = whole["limits"].get(f"{name}/{fmt}", {})
        text += ["", f"### {name}, {fmt}", ""]
        rates = limits.get("rates", {})
        if rates:
            told = ", ".join(f"{array} {rate:.2f} GB/s by {codec}" for array, (codec, rate) in rates.items())
            text += [f"One core decodes: {told}.", ""]
        text += ["| task | ours | by hand | × | read_lazy | × | limit | ÷ limit | targets |", "|---|---|---|---|---|---|---|---|---|"]
        rows_of = [row for row in whole["results"] if (row["set"], row["format"]) == (name, fmt)]
        notes = []
        for task in dict.fromkeys(row["task"] for row in rows_of):
            rows = [row for row in rows_of if row["task"] == task]
            notes += [f"{task}: {row['peer']}: {row['why']}" for row in rows if row["why"]]
            if task == "T6i":
                rows = rows + [row for row in rows_of if row["task"] == "T6" and row["peer"] != "shadow"]
            limit = limits.get(task)
            ours, others, found = figures(rows, limit)
            hand = others["hand"] or others["annbatch"]
            ratio = found.get("hand", found.get("annbatch"))
            away = ours["wall_s"] / (limit["seconds"] / about["cores"]) if ours and limit else None
            cells = [
                f"{task} {NAMES[task]}",
                cell(ours, ours=True),
                f"{cell(hand)} {hand['peer'].removesuffix('+fsync')}" if hand else "",
                short(ratio) if ratio else "",
                cell(others["lazy"]),
                short(found["lazy"]) if "lazy" in found else "",
                short(limit["seconds"]) if limit else "",
                short(away) if away else "",
                "; ".join(target(figure, bound, found) for figure, bound in targets(name, fmt, task)),
            ]
            text.append("| " + " | ".join(cells) + " |")
            python = best(rows, ["python"])
            if python:
                notes.append(f"{task}: from Python {cell(python)}")
            hasty = best(rows, ["h5py", "zarr", "zarr+zarrs"]) if task in ("T10", "T11") else None
            if hasty:
                notes.append(f"{task}: by hand without waiting for the disk {cell(hasty)} {hasty['peer']}")
        text += ["", *(f"- {note}" for note in notes)] if notes else []
    text += ["", "Faults:", "", *(f"- {fault}" for fault in whole["faults"])] if whole["faults"] else []
    return "\n".join(text) + "\n"


def line(name, fmt, task, runs):
    """What a task took, for who watches."""
    took = {peer: [r["wall_s"] for r in records if "wall_s" in r] for peer, records in runs.items()}
    told = [f"{peer} {short(statistics.median(walls))}" if walls else f"{peer} –" for peer, walls in took.items()]
    return f"{name} {fmt} {task}: {', '.join(told)}"
