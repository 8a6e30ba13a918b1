"""Runs this library and its peers in turn on the data of `data.py`, and writes tables of what each task took.

    run.py --ours target/release/bench-tasks [--data DIR] [--out DIR] [-n 3]
           [--sets sc,dense] [--formats h5ad,zarr3_zstd] [--tasks T4,T9] [--peers h5py,zarr] [--quick]

Every figure comes from a process of its own, with the store in the page cache; in each round all readers have their turn, in the
next one the other way round; what counts is the median. Clocks start when imports are done and end when the result is there.
All must find the same numbers in what they read, else the run fails. `results.json` has every run, `results.md` the tables.
`--quick` lets each reader do all tasks of a store in one process: a test of the checks, whose figures mean nothing.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
import zarr

import report
from data import FORMATS, ROWS, store_path
from limits import TASKS as LIMITED
from limits import Limits

HERE = Path(__file__).resolve().parent
THREADS = ["T15x1", "T15x2", "T15x4"]
READING = [f"T{i}" for i in range(1, 10)] + ["T12", "T13", "T14", "T14b", *THREADS]
WRITING = ["T10", "T11"]
INDEX, INDEXED = "T16", "T6i"  # adding the gene index, and T6 on the copy that has it
TASKS = {
    "sc": [f"T{i}" for i in range(1, 15)] + ["T14b", *THREADS, INDEX, INDEXED],
    "dense": ["T4", "T5", "T6", "T7", "T9", "T12", "T13", "T14"],
    "msi": ["T1", "T4", "T6", "T13", INDEX, INDEXED],
    "wide": ["T1", "T2"],
}
FROM_PYTHON = ["T1", "T2", "T4", "T5", "T8"]  # where it is asked what our own Python package costs
LONG = 20  # seconds after which a reader's task is not run again
TIMEOUT = 900


def peers_of(fmt, task):
    """Who does a task beside this library."""
    if task in (*THREADS, INDEX, INDEXED):
        return []
    if task == "T14b":
        return [] if fmt.startswith("h5ad") else ["annbatch"]
    hands = ["h5py"] if fmt.startswith("h5ad") else ["zarr", "zarr+zarrs"]
    if task in WRITING:
        return hands + [f"{hand}+fsync" for hand in hands]
    lazy = ["read_lazy"] if fmt.startswith("h5ad") else ["read_lazy", "read_lazy+zarrs"]
    return hands + lazy + (["read"] if task == "T9" else []) + (["python"] if task in FROM_PYTHON else [])


def ask(command, tasks):
    """Runs a reader; its records, or one that says why there are none."""
    start = time.monotonic()
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        return [{"task": task, "failed": f"more than {TIMEOUT} s"} for task in tasks]
    seconds = time.monotonic() - start
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or [f"ended with {done.returncode}"])[-1]
        return [{"task": task, "failed": last} for task in tasks]
    return [json.loads(line) | {"process_s": seconds} for line in done.stdout.splitlines()]


def files(store):
    return [store] if store.is_file() else [file for file in store.rglob("*") if file.is_file()]


def size(store):
    return sum(file.stat().st_size for file in files(store))


def warm(store):
    """Brings a store into the page cache."""
    for file in files(store):
        with open(file, "rb", buffering=0) as handle:
            while handle.read(8 << 20):
                pass


def open_root(path):
    return h5py.File(path, "r") if path.is_file() else zarr.open_group(path, mode="r")


def what_was_written(task, path):
    """Looks with h5py or zarr-python for what T10 and T11 add; a Zarr store is asked by its consolidated map."""
    root = open_root(path)
    if task == "T10":
        added = root["obsm/X_new"]
    else:
        added = root["obs/new"]
        assert list(root["obs"].attrs["column-order"])[-1] == "new", "the new column is not listed last"
    values = added[:]
    if path.is_file():
        root.close()
    return {"rows": values.shape[0], "cols": values.size // values.shape[0], "sum": float(values.sum(dtype="f8"))}


class Bench:
    def __init__(self, args):
        self.args = args
        self.results = []
        self.limits = {}
        self.faults = []

    def command(self, peer, tasks, name, store):
        asked = [",".join(tasks), str(self.args.data / f"{name}.json"), str(store)]
        if peer == "shadow":
            return [str(self.args.ours), *asked]
        return [sys.executable, "-B", "-W", "ignore", str(HERE / "peers.py"), peer, *asked]

    def once(self, peer, task, name, store):
        """One run in a fresh process; where it writes, on a fresh copy that is on the disk already. One with an index stays."""
        copy = self.args.out / ("indexed" if task in (INDEX, INDEXED) else "copy") / store.name
        if task == INDEXED:
            return ask(self.command(peer, ["T6"], name, copy), ["T6"])[0] | {"task": task}
        if task not in (*WRITING, INDEX):
            return ask(self.command(peer, [task], name, store), [task])[0]
        shutil.rmtree(copy.parent, ignore_errors=True)
        copy.parent.mkdir(parents=True)
        shutil.copytree(store, copy) if store.is_dir() else shutil.copyfile(store, copy)
        os.sync()  # else who waits for what it wrote waits for the copy too
        before = size(copy)
        record = ask(self.command(peer, [task], name, copy), [task])[0]
        if "wall_s" in record:
            record["disk_mb"] = (size(copy) - before) / 1e6
            if task in WRITING:
                record["check"] = what_was_written(task, copy)
        if task in WRITING or "wall_s" not in record:  # nobody shall take a copy for one with an index
            shutil.rmtree(copy.parent)
        return record

    def store(self, name, fmt):
        store = store_path(self.args.data, name, fmt)
        facts, picks = (json.loads((self.args.data / f"{name}{end}.json").read_text()) for end in ("", ".picks"))
        warm(store)
        tasks = [task for task in TASKS[name] if task in self.args.tasks]
        if not self.args.quick:
            limits = Limits(facts, picks, store, fmt, open_root(store))
            self.limits[f"{name}/{fmt}"] = {task: limits.of(task) for task in tasks if task in LIMITED} | {
                "rates": {array: [codec, rate / 1e9] for array, (codec, rate) in limits.rates.items()}
                if set(tasks) & set(LIMITED)
                else {}
            }
        runs = self.quick(name, fmt, store, tasks) if self.args.quick else self.rounds(name, fmt, store, tasks)
        known = {task: {"sum": facts["sum"], "nnz": facts["nnz"]} for task in ("T9", "T13") if facts["sparse"]}
        if "check" in runs.get(("T5", "shadow"), [{}])[0]:
            known |= dict.fromkeys(THREADS, {"sum": runs["T5", "shadow"][0]["check"]["sum"]})
        shutil.rmtree(self.args.out / "indexed", ignore_errors=True)
        if INDEXED in tasks and "T6" in tasks and "check" in runs["T6", "shadow"][0]:
            known[INDEXED] = runs["T6", "shadow"][0]["check"]
            self.index_is_used(f"{name} {fmt} {INDEXED}", runs)
        for task in tasks:
            of_task = {peer: records for (at, peer), records in runs.items() if at == task}
            self.compare(f"{name} {fmt} {task}", of_task, known.get(task, {}))
            self.results += [summary(name, fmt, task, peer, records) for peer, records in of_task.items()]

    def peers(self, fmt, task):
        return [peer for peer in peers_of(fmt, task) if peer in self.args.peers or not self.args.peers]

    def rounds(self, name, fmt, store, tasks):
        """(task, peer): the records of all rounds."""
        runs = {}
        for task in tasks:
            readers = ["shadow", *self.peers(fmt, task)]
            for number in range(self.args.n):
                for peer in readers if number % 2 == 0 else reversed(readers):
                    before = runs.setdefault((task, peer), [])
                    # Who cannot do it now cannot do it then, and who is slow by far is so in one run.
                    often = task != INDEX and sum(r["process_s"] for r in before) <= LONG
                    if any("wall_s" not in r for r in before) or (before and not often):
                        continue
                    before.append(self.once(peer, task, name, store))
            print(report.line(name, fmt, task, {p: runs[task, p] for p in readers}), flush=True)
        return runs

    def quick(self, name, fmt, store, tasks):
        """(task, peer): one record, all readers at once."""

        def read(peer):
            of_peer = [task for task in tasks if task in READING and peer in ("shadow", *self.peers(fmt, task))]
            return [(peer, record) for record in ask(self.command(peer, of_peer, name, store), of_peer)] if of_peer else []

        with ThreadPoolExecutor() as pool:
            every = dict.fromkeys(peer for task in tasks for peer in ("shadow", *self.peers(fmt, task)))
            runs = {(record["task"], peer): [record] for found in pool.map(read, every) for peer, record in found}
        for task in (task for task in tasks if task in (*WRITING, INDEX, INDEXED)):
            for peer in ("shadow", *self.peers(fmt, task)):
                runs[task, peer] = [self.once(peer, task, name, store)]
        return runs

    def compare(self, where, runs, known):
        """Holds all checks against the first reader's, and against what is known otherwise."""
        checks = [(peer, r["check"]) for peer, records in runs.items() for r in records if r.get("check")]
        for peer, check in checks:
            of = checks[0][1] | known
            if check.keys() != checks[0][1].keys():
                self.faults.append(f"{where}: {peer} tells {sorted(check)}, not {sorted(checks[0][1])}")
            for key in check.keys() & of.keys():
                if not abs(check[key] - of[key]) <= 1e-5 * max(1.0, abs(of[key])):
                    self.faults.append(f"{where}: {key} is {check[key]} for {peer}, not {of[key]}")
        for r in runs.get("shadow", []):
            if r.get("disk_mb", 0) > r.get("receipt_mb", 0):
                self.faults.append(f"{where}: grown by {r['disk_mb']} MB, where the receipt says {r['receipt_mb']}")
        for peer, records in runs.items():
            self.faults += [f"{where}: {peer} failed: {r['failed']}" for r in records if "failed" in r]
        if not any("wall_s" in r for r in runs.get("shadow", [])):
            self.faults.append(f"{where}: no figure of ours")

    def index_is_used(self, where, runs):
        """A gene read from X itself gives the same numbers: that it comes from the index shows in what was read."""
        without, by_index = ([r["read_mb"] for r in runs[task, "shadow"] if "read_mb" in r] for task in ("T6", INDEXED))
        if not self.args.quick and by_index and max(without) > 0 and max(by_index) >= min(without):
            self.faults.append(f"{where}: {max(by_index)} MB were read, without the index {min(without)}")


def summary(name, fmt, task, peer, records):
    """The median of every figure, and the runs."""
    good = [r for r in records if "wall_s" in r]
    figures = {k for r in good for k, v in r.items() if isinstance(v, int | float)}
    medians = {k: statistics.median([r[k] for r in good]) for k in sorted(figures)}
    why = next((r[k] for r in records for k in ("missing", "failed") if k in r), None)
    return {"set": name, "format": fmt, "task": task, "peer": peer, "n": len(good), "why": why, **medians, "runs": records}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ours", type=Path, default=Path("target/release/bench-tasks"))
    parser.add_argument("--data", type=Path, default=Path("target/bench/data"))
    parser.add_argument("--out", type=Path, default=Path("target/bench"))
    parser.add_argument("-n", type=int, default=3, help="rounds")
    parser.add_argument("--sets", default=",".join(ROWS))
    parser.add_argument("--formats", default=",".join(FORMATS))
    parser.add_argument("--tasks", default=",".join([*READING, *WRITING, INDEX, INDEXED]))
    parser.add_argument("--peers", default="", help="these peers only")
    parser.add_argument("--quick", action="store_true", help="checks, not figures")
    args = parser.parse_args()
    args.tasks, args.peers = args.tasks.split(","), [p for p in args.peers.split(",") if p]
    if INDEXED in args.tasks:
        args.tasks.append(INDEX)  # which makes the copy that it reads
    args.out.mkdir(parents=True, exist_ok=True)
    bench = Bench(args)
    about = report.about(args)
    for name in args.sets.split(","):
        for fmt in args.formats.split(","):
            bench.store(name, fmt)
            whole = {"about": about, "limits": bench.limits, "faults": bench.faults, "results": bench.results}
            (args.out / "results.json").write_text(json.dumps(whole, indent=1))
            (args.out / "results.md").write_text(report.tables(whole))
    print((args.out / "results.md").read_text() if not args.quick else f"{len(bench.results)} readings were compared")
    if bench.faults:
        sys.exit("\n".join(["faults:", *bench.faults]))


if __name__ == "__main__":
    main()
