//! One element, with everything below it: its encoding, and its parts against one another.

use std::collections::BTreeSet;

use super::Examiner;
use super::look::{Look, Task};
use crate::codec::{self, Info, Kind};
use crate::error::Error;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Node, NodeKind, ReadStore};
use crate::value::DType;

/// Links of HDF5 can lead in circles; no honest file nests this deep, or has so many nodes.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 1_000_000;

impl Examiner {
    /// Looks at the element at `at`. Gives what is known of it; `None` if that is nothing, which has been told.
    pub(super) fn element(&mut self, store: &dyn ReadStore, at: &ElemPath) -> Option<Info> {
        self.nodes += 1;
        if at.components().count() > MAX_DEPTH || self.nodes > MAX_NODES {
            if self.nodes <= MAX_NODES + 1 {
                self.damage(at, "groups nest too deep or in circles; what lies below is not looked at");
            }
            return None;
        }
        let node = self.sound(at, store.node(at))??;
        let info = match codec::describe(store, at) {
            Ok(info) => info?,
            Err(error) => {
                self.error(at, error);
                self.below(store, at, &node);
                return None;
            }
        };
        self.tags(store, at, &node, &info);
        match info.kind {
            Kind::Array | Kind::Records | Kind::Scalar => self.leaf(at, &node, info.kind == Kind::Scalar),
            Kind::Sparse => self.sparse(store, at, &info),
            Kind::Categorical => self.categorical(store, at, &node),
            Kind::Nullable => self.nullable(store, at, &info),
            Kind::Table => drop(self.frame(store, at)),
            Kind::Awkward => {
                self.below(store, at, &node);
                if self.deep {
                    self.push(Task { at: at.clone(), look: Look::Awkward, weight: 0 });
                }
            }
            Kind::AnnData if node.text("encoding-type") == Some("anndata") => drop(self.object(store, at)),
            Kind::Mapping | Kind::AnnData => self.below(store, at, &node),
            Kind::Null => drop(self.chunks.remove(at)),
            Kind::Opaque => {
                self.chunks.remove(at);
            }
        }
        Some(info)
    }

    /// Every element directly below a group.
    pub(super) fn below(&mut self, store: &dyn ReadStore, at: &ElemPath, node: &Node) {
        if node.is_group() {
            for name in self.sound(at, store.children(at)).unwrap_or_default() {
                match at.join(&name) {
                    Ok(child) => drop(self.element(store, &child)),
                    Err(bad) => self.damage(at, bad.to_string()),
                }
            }
        }
    }

    /// An array that is looked at as it is.
    pub(super) fn leaf(&mut self, at: &ElemPath, node: &Node, is_often_empty: bool) {
        let is_one = node.array().is_some_and(|meta| meta.shape.iter().all(|&n| n == 1));
        self.note_absent(at, is_often_empty || is_one);
        if let NodeKind::Array(meta) = &node.kind
            && self.deep
        {
            self.push(Task::decode(at, meta));
        }
    }

    /// The answer, if there is one; else it has been told why not.
    pub(super) fn sound<T>(&mut self, at: &ElemPath, answer: Result<T, Error>) -> Option<T> {
        answer.map_err(|error| self.error(at, error)).ok()
    }

    fn tags(&mut self, store: &dyn ReadStore, at: &ElemPath, node: &Node, info: &Info) {
        let Some(name) = node.text("encoding-type") else {
            if !self.is_old {
                self.untagged(store, at, node);
            }
            return;
        };
        if info.kind != Kind::Opaque {
            return;
        }
        let version = node.text("encoding-version").unwrap_or_default();
        match codec::version_of(name) {
            Some(known) if known == version => {
                let what = info.dtype.as_deref().unwrap_or("an unknown type");
                self.note(at, format!("it cannot be read by this version: {what}"));
            }
            Some(known) => self.damage(
                at,
                format!("encoding `{name}` has version `{version}`, readers know `{known}`: anndata refuses the file"),
            ),
            None => self.damage(at, format!("encoding `{name}` is not known: anndata refuses the file")),
        }
    }

    /// Writers set the encoding last: what has none was perhaps never finished.
    fn untagged(&mut self, store: &dyn ReadStore, at: &ElemPath, node: &Node) {
        let parts = || {
            let names = store.children(at).unwrap_or_default();
            ["data", "indices", "indptr"].iter().all(|part| names.iter().any(|name| name == part))
        };
        if node.is_group() && (node.attrs.contains_key("column-order") || node.attrs.contains_key("_index")) {
            self.damage(
                at,
                "a data frame without an encoding, left by a write that did not end: readers take it for a dict",
            );
        } else if node.is_group() && parts() {
            self.damage(at, "the parts of a sparse matrix without an encoding: readers take it for a dict");
        } else {
            let what = if node.is_group() { "a dict" } else { "an array" };
            self.note(at, format!("it has no encoding; readers take it for {what}"));
        }
    }

    fn categorical(&mut self, store: &dyn ReadStore, at: &ElemPath, node: &Node) {
        if !node.attrs.contains_key("ordered") {
            self.damage(at, "the attribute `ordered` is missing: anndata cannot read it");
        }
        let (codes, categories) = (at.child("codes"), at.child("categories"));
        let described = codec::describe(store, &categories).ok().flatten();
        let n = described.and_then(|info| info.shape.first().copied()).unwrap_or(0);
        if n > 1 {
            let why = "and categories of nothing but fill values would all be the same";
            self.absent(&categories, why);
        }
        self.element_of(store, &categories);
        let Some(meta) = self.part(store, &codes) else { return };
        self.note_absent(&codes, true);
        if meta.dtype.is_some_and(|dtype| !dtype.is_integer()) {
            return self.damage(&codes, format!("codes are {}, not integers", meta.stored));
        }
        self.small(Task::over(&codes, Look::Codes { categories: n }, &meta));
    }

    fn nullable(&mut self, store: &dyn ReadStore, at: &ElemPath, info: &Info) {
        let (values, mask) = (at.child("values"), at.child("mask"));
        self.element_of(store, &values);
        let Some(meta) = self.part(store, &mask) else { return };
        self.note_absent(&mask, true);
        if meta.shape != info.shape {
            self.damage(at, format!("its mask has shape {:?}, its values {:?}", meta.shape, info.shape));
        } else if meta.dtype.is_some_and(|dtype| dtype != DType::Bool && !dtype.is_integer()) {
            self.damage(&mask, format!("the mask is {}, not boolean", meta.stored));
        } else if self.deep {
            self.push(Task::decode(&mask, &meta));
        }
    }

    /// An array that is a part of an element, which must be there.
    fn part(&mut self, store: &dyn ReadStore, at: &ElemPath) -> Option<ArrayMeta> {
        let described = self.sound(at, codec::describe(store, at))?;
        let node = self.sound(at, store.node(at))?;
        let (Some(info), Some(node)) = (described, node) else {
            self.damage(at, "it is missing");
            return None;
        };
        self.tags(store, at, &node, &info);
        let meta = node.array().cloned();
        if meta.is_none() {
            self.damage(at, "it is a group, not an array");
        }
        meta
    }

    /// A part that must be there.
    pub(super) fn element_of(&mut self, store: &dyn ReadStore, at: &ElemPath) -> Option<Info> {
        let before = self.findings.len();
        let info = self.element(store, at);
        if info.is_none() && self.findings.len() == before {
            self.damage(at, "it is missing");
        }
        info
    }

    /// A data frame. Gives the number of its rows.
    pub(super) fn frame(&mut self, store: &dyn ReadStore, at: &ElemPath) -> Option<usize> {
        let meta = match codec::frame_meta(store, at) {
            Ok(meta) => meta,
            Err(error) => {
                match error {
                    Error::Unsupported { what, .. } => self.damage(at, what),
                    other => self.error(at, other),
                }
                // The columns may be sound.
                let node = self.sound(at, store.node(at))??;
                self.below(store, at, &node);
                return None;
            }
        };
        if let Ok(index) = at.join(&meta.index)
            && meta.n_rows > 1
        {
            let why = "and an index of nothing but fill values would name all rows the same";
            self.absent(&index, why);
            self.absent(&index.child("values"), why);
        }
        let mut known = BTreeSet::new();
        for name in meta.columns.iter().chain([&meta.index]) {
            if !known.insert(name.as_str()) {
                if *name != meta.index {
                    self.damage(at, format!("column `{name}` is listed twice"));
                }
                continue;
            }
            let Ok(column) = at.join(name) else {
                self.damage(at, format!("column `{name}` cannot be: its name leads out of the frame"));
                continue;
            };
            match self.sound(&column, store.node(&column)) {
                Some(None) => {
                    self.damage(at, format!("column `{name}` is listed and not there: anndata cannot read the frame"))
                }
                Some(Some(_)) => self.column(store, &column, meta.n_rows),
                None => {}
            }
        }
        for name in self.sound(at, store.children(at)).unwrap_or_default() {
            // In HDF5, a column `a/b` lies in a group `a`.
            let below = format!("{name}/");
            let is_known = known.contains(name.as_str()) || known.iter().any(|column| column.starts_with(&below));
            if !is_known && name != "__categories" {
                self.note(at, format!("`{name}` lies in it and is not listed as a column: readers do not see it"));
            }
        }
        Some(meta.n_rows)
    }

    fn column(&mut self, store: &dyn ReadStore, at: &ElemPath, n_rows: usize) {
        let Some(info) = self.element(store, at) else { return };
        let fits = info.shape == [n_rows];
        match info.kind {
            Kind::Array | Kind::Categorical | Kind::Nullable if fits => {}
            Kind::Opaque if info.shape.is_empty() => {}
            Kind::Array | Kind::Categorical | Kind::Nullable | Kind::Opaque => {
                self.damage(at, format!("its shape is {:?}, but the frame has {n_rows} rows", info.shape));
            }
            _ => self.damage(at, "it stands as a column and is none"),
        }
    }

    /// Notes a task, unless it is a large one and not all is to be read.
    pub(super) fn small(&mut self, task: Task) {
        const SMALL: u64 = 1 << 20;
        if self.deep || task.weight <= SMALL {
            self.push(task);
        }
    }

    /// Notes a task. What the metadata promise may be beyond all that the store can hold: to look at so many fill values would
    /// take for ever.
    pub(super) fn push(&mut self, task: Task) {
        /// The most that deflate makes of a byte; what takes a few seconds is looked at anyway.
        const RATIO: u64 = 1000;
        const LITTLE: u64 = 256 << 20;
        if task.weight > self.stored.saturating_mul(RATIO).saturating_add(LITTLE) {
            let what = "far more is promised than a store of this size can hold, but for fill values: its data are not looked at";
            return self.note(&task.at, what);
        }
        self.tasks.push(task);
    }
}
