"""How shadows are shown: a line for each slot, names with marks, empty slots left out.

``ᐁ`` is in memory because it was read, ``▲`` is set and not in the file yet, ``▼`` in place of what is there; ``×``
goes with the next write.
"""

from __future__ import annotations

from html import escape

from ._errors import ClosedError

READ = "ᐁ"
REMOVED = "×"

ANNDATA = ("layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns")
MUDATA = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap")


def headline(shadow, what):
    """What it is, and how large."""
    view, original = "", ""
    if shadow.is_view:
        n_obs, n_vars = shadow._core.original_shape
        view, original = "View of ", f" (original {n_obs} × {n_vars})"
    closed = " (closed)" if shadow._core.mode is None else ""
    return f"{view}{what} Shadow object with n_obs × n_vars = {shadow.n_obs} × {shadow.n_vars}{original}{closed}"


def slot(shadow, name, indent=""):
    """A line: the slot and the names in it; empty if there are none."""
    try:
        names = _names(shadow, name)
    except Exception as error:  # one that cannot be listed does not hide the others
        return f"{indent}{name}:\t({error})"
    if not names:
        return ""
    return f"{indent}{name}:\t" + ", ".join(_plain(each) + mark(shadow, f"{name}/{each}") for each in names)


def _names(shadow, name):
    core = shadow._core
    if core.mode is None and name in {"obs", "var", "raw"}:
        # Of these it is the file that knows what there is.
        return [change.path.partition("/")[2] for change in core.changes() if change.path.startswith(f"{name}/")]
    # Maps may be there without being stored.
    names = list(getattr(shadow, name)) if name in {"obsmap", "varmap"} else core.keys(name)
    if name in {"obs", "var"}:
        index = core.index_name(name)
        names = names if index in names else [index, *names]
    return names + ([] if name == "raw" else core.removed(name))


def mark(shadow, path):
    """The mark of an element."""
    return shadow._core.mark(path) or (READ if shadow._holds(path) else "")


def _has_x(shadow):
    try:
        return shadow._has_X()
    except ClosedError:
        return mark(shadow, "X") != ""


def _plain(name):
    """A name without what would move the cursor: names come from files."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def lines(shadow, slots, indent="  "):
    """The lines of an object below its headline."""
    found = []
    if "layers" in slots:
        if shadow._core.mark("X") == REMOVED or _has_x(shadow):
            found.append(f"{indent}X{mark(shadow, 'X')}")
        gone = shadow._core.mark("raw") == REMOVED
        found.append(f"{indent}raw{REMOVED}" if gone else slot(shadow, "raw", indent))
    found += [slot(shadow, name, indent) for name in slots]
    return [line for line in found if line]


def anndata(shadow):
    """An AnnData shadow as text."""
    shadow._try_to_settle()
    return "\n".join([headline(shadow, "AnnData"), *lines(shadow, ANNDATA)])


def mudata(shadow):
    """A MuData shadow as text."""
    shadow._try_to_settle()
    return "\n".join([headline(shadow, "MuData"), *lines(shadow, MUDATA), *modalities(shadow)])


def modalities(shadow, indent="  "):
    """The lines of the modalities of a MuData."""
    names = shadow._core.modalities
    found = [f"{indent}mod:\t{len(names)} modalit{'y' if len(names) == 1 else 'ies'}"]
    for name in names:
        try:
            each = shadow.mod[name]
            found.append(f"{indent}  {_plain(name)}: {each.n_obs} x {each.n_vars}")
            found += lines(each, ANNDATA, f"{indent}    ")
        except Exception as error:
            found.append(f"{indent}  {_plain(name)}: ({error})")
    return found + [f"{indent}  {_plain(name)}{REMOVED}" for name in shadow._core.removed("mod")]


def html(text):
    """The same for notebooks: a headline that folds out, a row for each slot."""
    head, *rest = text.split("\n")
    rows = []
    for line in rest:
        name, _, names = line.partition("\t")
        depth = (len(name) - len(name.lstrip())) // 2
        left = "text-align:left"
        first = f"<td style='{left};padding-left:{depth}em'>{escape(name.strip())}</td>"
        rows.append(f"<tr>{first}<td style='{left}'>{escape(names)}</td></tr>")
    return f"<details open><summary>{escape(head)}</summary><table>{''.join(rows)}</table></details>"
