//! An AnnData, slot by slot: what may stand there, and its lengths against the axes.

use super::Examiner;
use super::look::{Look, Task};
use crate::codec::{Info, Kind};
use crate::error::{Error, Place, Result};
use crate::path::ElemPath;
use crate::shadow::slots::{self, Admits, Axis, SlotSpec};
use crate::store::{Node, ReadStore};

/// Lengths of an object's axes, as far as they are known.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Axes {
    pub(super) obs: Option<usize>,
    pub(super) var: Option<usize>,
    pub(super) raw_var: Option<usize>,
}

impl Axes {
    fn length(self, axis: Axis) -> Option<usize> {
        match axis {
            Axis::Obs => self.obs,
            Axis::Var => self.var,
            Axis::RawVar => self.raw_var,
        }
    }
}

impl Examiner {
    /// Looks at the objects at `inner`: an AnnData, a MuData, or those in a store of several.
    pub(super) fn find_objects(&mut self, store: &dyn ReadStore, inner: &ElemPath) -> Result<()> {
        let node = match store.node(inner) {
            Ok(Some(node)) => node,
            Ok(None) => {
                let modality = ElemPath::root().child("mod").append(inner);
                if inner.is_root() || store.node(&modality)?.is_none() {
                    return Err(Error::NotFound { at: Place::new(store.location(), inner), nearest: Vec::new() });
                }
                return self.find_objects(store, &modality);
            }
            Err(error) => {
                self.error(inner, error);
                return Ok(());
            }
        };
        // What cannot be understood is there all the same.
        let has = |name: &str| !matches!(store.node(&inner.child(name)), Ok(None));
        let tag = node.text("encoding-type");
        if node.is_group() && (tag == Some("MuData") || (has("mod") && tag != Some("anndata"))) {
            self.mudata(store, inner, &node);
        } else if node.is_group() && (has("obs") || matches!(tag, Some("anndata"))) {
            self.object(store, inner);
        } else {
            let tables = inner.child("tables");
            let above = if has("tables") { &tables } else { inner };
            let names = if node.is_group() { store.children(above)? } else { Vec::new() };
            let mut found = false;
            for name in names {
                let at = above.join(&name)?;
                if !matches!(store.node(&at.child("obs")), Ok(None)) {
                    found = true;
                    self.object(store, &at);
                }
            }
            if !found {
                let why = "there is no `obs` in it, nor any object that has one".to_owned();
                return Err(Error::NotAnnData { at: Place::new(store.location(), inner), why });
            }
        }
        Ok(())
    }

    /// Looks at the AnnData at `base`.
    pub(super) fn object(&mut self, store: &dyn ReadStore, base: &ElemPath) -> Axes {
        let node = self.sound(base, store.node(base)).flatten();
        if let Some(node) = &node {
            self.root_tags(base, node, "anndata", "0.1.0");
        }
        let mut axes = self.axes(store, base);
        if axes.var.is_none() && self.is_absent(store, &base.child("var")) {
            self.note(&base.child("var"), "there is none; anndata numbers the variables");
            axes.var = self.described(store, &base.child("X")).and_then(|x| x.shape.get(1).copied());
        }
        self.single(store, base, &slots::X, axes);
        self.slots(store, base, slots::SHOWN, axes);
        axes.raw_var = self.raw(store, base, axes);
        let known = ["X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp", "uns", "raw"];
        for name in self.sound(base, store.children(base)).unwrap_or_default() {
            if !known.contains(&name.as_str()) && !name.starts_with("raw.") {
                self.note(base, format!("`{name}` is no part of an AnnData: anndata refuses a file that has it"));
            }
        }
        axes
    }

    pub(super) fn root_tags(&mut self, at: &ElemPath, node: &Node, name: &str, version: &str) {
        match (node.text("encoding-type"), node.text("encoding-version")) {
            (Some(tag), Some(found)) if tag == name && found == version => {}
            (None, _) if self.is_old => {}
            (None, _) => self.note(at, format!("it has no encoding; readers take it for {name}")),
            (Some(tag), found) => {
                let found = found.unwrap_or("without version");
                self.damage(at, format!("its encoding is `{tag}` {found}; readers know `{name}` {version}"));
            }
        }
    }

    /// Looks at `obs` and `var`.
    pub(super) fn axes(&mut self, store: &dyn ReadStore, base: &ElemPath) -> Axes {
        let mut frame = |name: &str| {
            let at = base.child(name);
            if self.is_absent(store, &at) {
                return None;
            }
            let rows = self.frame(store, &at);
            self.names(store, &at);
            rows
        };
        let axes = Axes { obs: frame("obs"), var: frame("var"), raw_var: None };
        if self.is_absent(store, &base.child("obs")) {
            self.damage(base, "there is no `obs`: anndata cannot read it");
        }
        axes
    }

    fn is_absent(&self, store: &dyn ReadStore, at: &ElemPath) -> bool {
        matches!(store.node(at), Ok(None))
    }

    fn described(&self, store: &dyn ReadStore, at: &ElemPath) -> Option<Info> {
        crate::codec::describe(store, at).ok().flatten()
    }

    /// The names along an axis: whether there are any twice or missing.
    fn names(&mut self, store: &dyn ReadStore, frame: &ElemPath) {
        if let Some((index, info)) = self.index(store, frame) {
            let bytes = info.shape.iter().product::<usize>() as u64 * 32;
            self.small(Task { at: index, look: Look::Names { axis: frame.name().to_owned() }, weight: bytes });
        }
    }

    /// The index of a frame.
    pub(super) fn index(&self, store: &dyn ReadStore, frame: &ElemPath) -> Option<(ElemPath, Info)> {
        let meta = crate::codec::frame_meta(store, frame).ok()?;
        let index = frame.join(&meta.index).ok()?;
        let info = self.described(store, &index)?;
        Some((index, info))
    }

    pub(super) fn slots(&mut self, store: &dyn ReadStore, base: &ElemPath, slots: &[&SlotSpec], axes: Axes) {
        for spec in slots.iter().filter(|spec| spec.admits != Admits::Column) {
            self.group(store, &base.append(&path(spec)), spec, axes);
        }
    }

    /// A slot of named elements.
    fn group(&mut self, store: &dyn ReadStore, at: &ElemPath, spec: &SlotSpec, axes: Axes) {
        let Some(Some(node)) = self.sound(at, store.node(at)) else { return };
        if !node.is_group() {
            return self.damage(at, "it is an array, not a group of elements");
        }
        for name in self.sound(at, store.children(at)).unwrap_or_default() {
            match at.join(&name) {
                Ok(element) => self.in_slot(store, &element, spec, axes),
                Err(bad) => self.damage(at, bad.to_string()),
            }
        }
    }

    /// A slot that is one element.
    fn single(&mut self, store: &dyn ReadStore, base: &ElemPath, spec: &SlotSpec, axes: Axes) {
        let at = base.append(&path(spec));
        if !self.is_absent(store, &at) {
            self.in_slot(store, &at, spec, axes);
        }
    }

    fn in_slot(&mut self, store: &dyn ReadStore, at: &ElemPath, spec: &SlotSpec, axes: Axes) {
        let Some(info) = self.element(store, at) else { return };
        if info.kind == Kind::Null || spec.admits == Admits::Any || (info.kind == Kind::Opaque && info.shape.is_empty())
        {
            return;
        }
        if !admits(spec.admits, info.kind) {
            return self.damage(at, format!("it is {}, which cannot stand here", described(&info)));
        }
        let wanted: Vec<Option<usize>> = spec.axes.iter().map(|&axis| axes.length(axis)).collect();
        let along = |(i, wanted): (usize, &Option<usize>)| wanted.is_none_or(|n| info.shape.get(i) == Some(&n));
        if !wanted.iter().enumerate().all(along) {
            let named = spec.axes.iter().zip(&wanted);
            let named: Vec<String> =
                named.map(|(axis, n)| format!("{} {}", axis.name(), n.map_or("?".into(), |n| n.to_string()))).collect();
            return self.damage(at, format!("its shape is {:?}, but its axes are {}", info.shape, named.join(" × ")));
        }
        let exact = matches!(spec.admits, Admits::Matrix | Admits::Positions);
        if exact && info.shape.len() != spec.axes.len() {
            self.note(at, format!("it has {} axes, which anndata does not allow here", info.shape.len()));
        }
        // Frames along an axis repeat its names.
        if info.kind == Kind::Table
            && let (Some(axis), Some(base)) = (spec.axes.first(), at.parent().and_then(|slot| slot.parent()))
            && *axis != Axis::RawVar
            && let Some((own, info)) = self.index(store, at)
            && let Some((of, _)) = self.index(store, &base.child(axis.name()))
        {
            let weight = info.shape.iter().product::<usize>() as u64 * 64;
            self.small(Task { at: own, look: Look::SameNames { of }, weight });
        }
    }

    /// `raw`, if there is one. Gives the number of its variables.
    fn raw(&mut self, store: &dyn ReadStore, base: &ElemPath, mut axes: Axes) -> Option<usize> {
        let at = base.child("raw");
        let node = self.sound(&at, store.node(&at))??;
        if !node.is_group() {
            if node.text("encoding-type") != Some("null") {
                self.damage(&at, "it is an array, not a group of X, var and varm");
            }
            self.chunks.remove(&at);
            return None;
        }
        let var = at.child("var");
        if self.is_absent(store, &var) {
            self.damage(&at, "there is no `raw/var`");
        } else {
            axes.raw_var = self.frame(store, &var);
        }
        self.single(store, base, &slots::RAW_X, axes);
        self.group(store, &at.child("varm"), &slots::RAW_VARM, axes);
        axes.raw_var
    }
}

fn path(spec: &SlotSpec) -> ElemPath {
    spec.name.split('/').fold(ElemPath::root(), |at, name| at.child(name))
}

const fn admits(admits: Admits, kind: Kind) -> bool {
    match admits {
        Admits::Any => true,
        Admits::Matrix | Admits::Pairwise => matches!(kind, Kind::Array | Kind::Sparse | Kind::Opaque),
        Admits::Aligned => {
            matches!(kind, Kind::Array | Kind::Sparse | Kind::Table | Kind::Records | Kind::Awkward | Kind::Opaque)
        }
        Admits::Positions => matches!(kind, Kind::Array),
        Admits::Column => matches!(kind, Kind::Array | Kind::Categorical | Kind::Nullable | Kind::Opaque),
    }
}

fn described(info: &Info) -> String {
    let encoding = info.encoding.as_ref().map_or_else(|| info.kind.name().to_owned(), |(name, _)| name.clone());
    format!("of the kind `{encoding}`")
}
