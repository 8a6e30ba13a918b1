"""Forks, threads and Ctrl-C: what a child may do, what waits for what, and how waiting ends."""

import os
import re
import signal
import subprocess
import sys
import threading
import time

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from conftest import DATA, PBMC, copy_of

from anndata_shadow import AnnDataShadow, _core

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="nothing forks here"),
    pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning"),
]


def in_child(act, meanwhile=lambda: None, limit=60):
    """What `act` gives in a forked child, as text; a child that hangs is killed."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = repr(act())
        except BaseException as error:
            answer = f"{type(error).__name__}: {error}"
        os.write(writing, answer.encode())
        os._exit(0)
    os.close(writing)
    meanwhile()
    deadline = time.monotonic() + limit
    while os.waitpid(child, os.WNOHANG) == (0, 0):
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            os.close(reading)
            return "hangs"
        time.sleep(0.01)
    with os.fdopen(reading, "rb") as answer:
        return answer.read().decode()


@pytest.mark.parametrize("name", PBMC)
def test_children_of_forks_read_too(name):
    shadow = _core.Shadow.open(str(DATA / name))
    total, seen = float(shadow.read("X").sum(dtype=float)), shadow.stats("X", "var")["sum"].sum()
    stream = shadow.row_blocks("X", rows=100)
    next(stream)
    assert in_child(lambda: float(shadow.read("X").sum(dtype=float))) == repr(total)
    assert in_child(lambda: len(shadow.read("obs")[3])) == repr(len(shadow.keys("obs")))
    assert in_child(lambda: sum(len(rows) for rows, _ in shadow.minibatches("X", 32, 1))) == "700"
    assert in_child(lambda: shadow.stats("X", "var")["sum"].sum() == seen) in ("True", "np.True_")
    assert in_child(lambda: next(stream)).startswith("RuntimeError: it was begun in another process")

    def forget():
        nonlocal stream
        del stream
        return "dropped"

    assert in_child(forget) == "'dropped'"
    # A child of a child has threads of its own again.
    assert in_child(lambda: (shadow.read("X"), in_child(lambda: float(shadow.read("X").sum(dtype=float))))[1]) == repr(repr(total))
    assert len(list(stream)) == 6, "the parent's stream goes on"


def test_forks_while_other_threads_read():
    shadow = _core.Shadow.open(str(DATA / PBMC[1]))
    total, ended = float(shadow.read("X").sum(dtype=float)), threading.Event()

    def read():
        while not ended.is_set():
            shadow.read("X")
            shadow.stats("X", "var", progress=lambda done, all: None)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        answers = {in_child(lambda: float(shadow.read("X").sum(dtype=float))) for _ in range(20)}
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert answers == {repr(total)}


def interrupt(code, *args):
    """Runs code in another process, and sends it Ctrl-C once it says that it is ready; what it prints, and how long it took."""
    process = subprocess.Popen([sys.executable, "-c", code, *map(str, args)], stdout=-1, stderr=-1, text=True)
    assert process.stdout.readline() == "ready\n", process.communicate()
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    return out, err


def test_ctrl_c_ends_waiting_for_a_read():
    code = HELD_UP + """
shadow = _core.Shadow.open(sys.argv[1])
hold_up()
print("ready", flush=True)
try:
    shadow.read("X")
except KeyboardInterrupt:
    print("interrupted", flush=True)
forks.set()
print(shadow.read("X").shape)
"""
    out, err = interrupt(code, DATA / PBMC[2])
    assert out == "interrupted\n(700, 765)\n", (out, err)


def test_ctrl_c_cancels_long_work(tmp_path):
    code = """
import sys, time
from anndata_shadow import _core
shadow = _core.Shadow.open(sys.argv[1])
def slowly(done, all):
    if done == 0:
        print("ready", flush=True)
    time.sleep(0.01)
try:
    while True:
        shadow.stats("X", progress=slowly)
except KeyboardInterrupt:
    print("interrupted", shadow.read("obsm/X_pca").shape, flush=True)
"""
    out, err = interrupt(code, DATA / PBMC[0])
    assert "interrupted (700, 50)" in out, (out, err)


def run(code, *args):
    """What code prints in another process, which is not to hang."""
    process = subprocess.run([sys.executable, "-c", code, *map(str, args)], capture_output=True, text=True, timeout=120)
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.mark.parametrize("name", PBMC)
def test_a_child_does_not_touch_what_was_open_for_writing(name, tmp_path):
    path = copy_of(DATA / name, tmp_path)
    shadow = _core.Shadow.open(str(path), "r+")
    shadow.set("uns/parent", "before")

    def write():
        shadow.set("uns/child", "child")
        shadow.write()

    def let_go():
        nonlocal shadow
        shadow.close()
        mode = shadow.mode
        del shadow
        return mode

    refused = "BusyError: .*opened for writing before this process was forked.*reopen\\('r'\\)"
    for act in [write, lambda: shadow.read("X"), lambda: shadow.names("obs"), lambda: shadow.add_gene_index()]:
        answer = in_child(act)
        assert re.match(refused, answer), answer
    assert in_child(let_go) == "None"
    shadow.set("uns/parent2", "after")
    shadow.write()
    assert in_child(lambda: shadow.read("obsm/X_pca")).startswith("BusyError")
    shadow.close()
    found = (ad.read_h5ad if path.suffix == ".h5ad" else ad.read_zarr)(path)
    assert (found.uns["parent"], found.uns["parent2"]) == ("before", "after") and "child" not in found.uns
    assert _core.verify(str(path), deep=True).is_sound


def test_a_child_takes_over_once_the_parent_has_closed(tmp_path):
    path = copy_of(DATA / PBMC[0], tmp_path)
    shadow = _core.Shadow.open(str(path), "r+")
    shadow.set("uns/parent", "before")
    reading, writing = os.pipe()

    def take_over():
        shadow.close()
        os.read(reading, 1)
        shadow.reopen("r+")
        shadow.discard()
        shadow.set("uns/child", "after")
        shadow.write()
        shadow.close()
        return shadow.mode

    def close():
        shadow.write()
        time.sleep(0.2)  # for the child to have let go of the lock, too; nothing is wrong if it has not
        shadow.close()
        os.write(writing, b".")

    closing = threading.Thread(target=close)
    answer = in_child(take_over, closing.start)
    closing.join()
    assert answer == "None"
    uns = ad.read_h5ad(path).uns
    assert (uns["parent"], uns["child"]) == ("before", "after")


def test_a_lock_that_a_child_holds_is_told_as_such(tmp_path):
    path = copy_of(DATA / PBMC[0], tmp_path)
    shadow = _core.Shadow.open(str(path))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(reading, 1)
        os._exit(0)
    try:
        with pytest.raises(_core.BusyError, match=r"this process, or one forked from it \(a worker\) has it open"):
            shadow.reopen("r+")
        assert shadow.mode == "r"
    finally:
        os.write(writing, b".")
        os.waitpid(child, 0)
    other = _core.Shadow.open(str(path))
    with pytest.raises(_core.BusyError, match="this process has it open"):
        shadow.reopen("r+")
    other.close()
    shadow.reopen("r+")


@pytest.mark.parametrize("on", ["the main thread", "another thread"])
@pytest.mark.parametrize("way", ["os.fork", "preexec_fn"])
def test_progress_may_fork(on, way, tmp_path):
    code = """
import os, subprocess, sys, threading, warnings
warnings.simplefilter("ignore")
from anndata_shadow import _core
path, on, way = sys.argv[1:]
forked = []
def fork(done, all):
    if way == "os.fork":
        child = os.fork()
        if child == 0:
            # It reads by what was open for reading, although the parent is in the middle of something.
            os._exit(0 if seen is None or seen.read("obsm/X_pca").shape == (700, 50) else 1)
        forked.append(os.waitpid(child, 0)[1])
    else:
        forked.append(subprocess.run(["true"], preexec_fn=lambda: None).returncode)
def act():
    global seen
    seen = _core.Shadow.open(path)
    plain = seen.stats("X", "var")["sum"]
    assert (seen.stats("X", "var", progress=fork)["sum"] == plain).all()
    assert _core.verify(path, deep=True, progress=fork).is_sound
    seen.close()
    seen = None
    shadow = _core.Shadow.open(path, "r+")
    shadow.add_gene_index(progress=fork)
    assert len(forked) > 3 and set(forked) == {0}, forked
    assert shadow.keys("layers") == ["X_csc"]
if on == "the main thread":
    act()
else:
    thread = threading.Thread(target=act)
    thread.start()
    thread.join()
print("through", flush=True)
"""
    path = _sparse(tmp_path)
    assert run(code, path, on, way) == "through\n"


def _sparse(folder):
    """The 700 cells with a sparse X."""
    cells = ad.read_zarr(DATA / PBMC[2])
    cells.X = sp.csr_matrix(cells.X)
    cells.write_h5ad(folder / "sparse.h5ad")
    return folder / "sparse.h5ad"


#: Work that lasts as long as wanted: it does not begin while another thread is about to fork.
HELD_UP = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
about_to_fork, forks = threading.Event(), threading.Event()
os.register_at_fork(before=lambda: (about_to_fork.set(), forks.wait()))
from anndata_shadow import _core

def hold_up():
    about_to_fork.clear()
    forks.clear()
    threading.Thread(target=lambda: os.fork() or os._exit(0)).start()
    about_to_fork.wait()
"""


@pytest.mark.parametrize("on", ["the main thread", "another thread"])
def test_other_threads_run_during_a_call(on, tmp_path):
    # Each call ends when another thread of Python lets it.
    code = HELD_UP + """
path, on = sys.argv[1:]
shadow = _core.Shadow.open(path, "r+")
calling = threading.Event()
def go_on():
    calling.wait()
    time.sleep(0.05)
    forks.set()
def act():
    for call in [
        lambda: shadow.read("X"),
        lambda: shadow.read_part("X", (slice(0, 5),)),
        lambda: shadow.names("obs"),
        lambda: shadow.stats("X", "var"),
        lambda: shadow.set("uns/x", 1),
        lambda: shadow.write(),
        lambda: shadow.select(slice(0, 5), None),
        lambda: next(shadow.row_blocks("X")),
        lambda: str(shadow),
        lambda: _core.Shadow.open(other),
        lambda: _core.verify(other),
        lambda: shadow.close(),
    ]:
        calling.clear()
        hold_up()
        thread = threading.Thread(target=go_on)
        thread.start()
        calling.set()
        call()
        thread.join()
    print("through")
other = sys.argv[1].replace("h5ad", "other.h5ad")
thread = threading.Thread(target=act)
if on == "the main thread":
    act()
else:
    thread.start()
    thread.join()
"""
    path = copy_of(DATA / PBMC[0], tmp_path)
    path.with_suffix(".other.h5ad").write_bytes(path.read_bytes())
    assert run(code, path, on) == "through\n"


def test_ctrl_c_ends_waiting_for_a_fork(tmp_path):
    # A fork waits for all of a gene index, which takes its time with little memory.
    path = tmp_path / "sparse.h5ad"
    ad.AnnData(sp.random(8000, 3000, 0.1, "csr", dtype="f4", random_state=0)).write_h5ad(path)
    code = """
import os, sys, threading, time, warnings
warnings.simplefilter("ignore")
from anndata_shadow import _core
shadow = _core.Shadow.open(sys.argv[1], "r+")
other = _core.Shadow.open(sys.argv[2])
index = threading.Thread(target=lambda: shadow.add_gene_index(memory=20_000))
index.start()
time.sleep(0.2)
print("ready", flush=True)
child = None
try:
    child = os.fork()
    if child == 0:
        try:
            other.read("X")
        except RuntimeError as error:
            os.write(1, b"refused: " + str(error).encode() + b"\\n")
        os._exit(0)
    while True:
        time.sleep(0.01)
except KeyboardInterrupt:
    os.wait()
    print("interrupted", flush=True)
# Nobody waits for a fork any longer.
print(other.read("obsm/X_pca").shape, flush=True)
index.join()
print(shadow.changes(), shadow.keys("layers"), flush=True)
if os.fork() == 0:
    print(other.read("obsm/X_pca").shape, flush=True)
    os._exit(0)
os.wait()
"""
    out, err = interrupt(code, path, DATA / PBMC[0])
    lines = out.splitlines()
    assert lines[0].startswith("refused: this process was forked in the middle of work"), (out, err)
    assert lines[1:3] == ["interrupted", "(700, 50)"], (out, err)
    assert lines[3:] == ["[] ['X_csc']", "(700, 50)"], (out, err)


def test_calls_on_the_main_thread_share_one_helper():
    # Progress is told on the thread that works.
    code = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from anndata_shadow import _core
shadow = _core.Shadow.open(sys.argv[1])
def helpers():
    found = set()
    for _ in range(10):
        shadow.stats("X", "var", progress=lambda done, all: found.add(threading.get_native_id()))
        shadow.read("obsm/X_pca")
    return found
first = helpers()
print(len(first), threading.get_native_id() in first, flush=True)
if os.fork() == 0:
    mine = helpers()
    print(mine.isdisjoint(first), flush=True)
    os._exit(0)
os.wait()
print(helpers() == first)
"""
    assert run(code, DATA / PBMC[0]) == "1 False\nTrue\nTrue\n"


def test_long_work_gives_way_to_forks(tmp_path):
    # Of forks that wait for all of it there is one; a second may slip in before its end is noticed.
    code = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from anndata_shadow import _core
ended, found, forks = threading.Event(), [], 0
def verify():
    found.append(_core.verify(sys.argv[1], deep=True).is_sound)
    ended.set()
threading.Thread(target=verify).start()
while not ended.is_set():
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    forks += 1
print(found, forks >= 4 or forks)
"""
    cells = ad.AnnData(np.zeros((3, 2)), uns={f"element {i}": np.arange(i) for i in range(1500)})
    cells.write_h5ad(tmp_path / "many.h5ad")
    assert run(code, tmp_path / "many.h5ad") == "[True] True\n"


def test_a_child_is_not_kept_out_by_locks_of_threads_that_it_has_not():
    shadow = AnnDataShadow(DATA / PBMC[0])
    names, over = list(shadow.obs.columns), threading.Event()

    def look():
        while not over.is_set():
            shadow.clear_cache()
            [shadow.obs[name] for name in names]

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(10):
            time.sleep(0.005)
            assert in_child(lambda: shadow.obs["n_genes"].index[0], limit=20) == repr("AAAGCCTGGCTAAC-1")
    finally:
        over.set()
        thread.join()


def test_threads_of_a_child_give_way_to_its_own_forks(tmp_path):
    path = tmp_path / "a.h5ad"
    ad.AnnData(sp.random(10_000, 500, 0.1, "csr", dtype="f4", random_state=0)).write_h5ad(path)

    def act():
        over, shadow = threading.Event(), _core.Shadow.open(str(path))

        def work():
            while not over.is_set():
                shadow.stats("X", "var")

        threads = [threading.Thread(target=work) for _ in range(3)]
        for thread in threads:
            thread.start()
        for _ in range(5):
            child = os.fork()
            if child == 0:
                os._exit(0)
            os.waitpid(child, 0)
        over.set()
        for thread in threads:
            thread.join()
        return "through"

    assert in_child(act) == repr("through")


def test_who_waits_for_an_index_is_in_no_forks_way(tmp_path):
    path = tmp_path / "a.h5ad"
    ad.AnnData(sp.random(2000, 500, 0.05, "csr", dtype="f4"), uns={"x": 1}).write_h5ad(path)
    shadow = _core.Shadow.open(str(path), "r+")
    begun, waits, forked = threading.Event(), threading.Event(), threading.Event()

    def progress(done, of):
        if not begun.is_set():
            begun.set()
            waits.wait(60)
            time.sleep(0.3)  # the fork is waiting, and so is who removes
            shadow.info("X")

    def remove():
        begun.wait(60)
        waits.set()
        shadow.remove("uns/x")

    def fork():
        waits.wait(60)
        time.sleep(0.1)
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)
        forked.set()

    index = lambda: shadow.add_gene_index(progress=progress)  # noqa: E731
    threads = [threading.Thread(target=work, daemon=True) for work in (index, remove, fork)]
    for thread in threads:
        thread.start()
    assert forked.wait(60)
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads) and shadow.exists("layers/X_csc")
