//! [`WriteLens`]: adding to what a lens shows. Where that is put together from something else, it is first made real in the
//! same step: what was stored goes, and what was shown is stored in its place, value by value.

use std::collections::BTreeSet;
use std::sync::Arc;

use parking_lot::{Mutex, RwLock};

use super::Lens;
use super::node::CATEGORIES;
use super::view::{Group, Upgrade, View};
use crate::error::{Error, Result};
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{
    ArrayParts, Attrs, IoStats, Node, NodeKind, Planned, ReadStore, Safety, Style, WriteStore, read_all,
};
use crate::value::{Array, DType, Records};

/// Links can lead in circles; no slot nests this deep, or has so many nodes.
const MAX_DEPTH: usize = 64;
const MAX_NODES: usize = 1_000_000;

/// A lens over a store open for writing.
pub(crate) struct WriteLens {
    store: Arc<dyn WriteStore>,
    lens: Lens,
    /// What is made real by what is staged.
    made: Mutex<BTreeSet<ElemPath>>,
    /// What is staged to go or to move: what is shown is what is published.
    planned: Mutex<Planned>,
    /// Parts of what is to be made real that go: they are not copied.
    without: Mutex<BTreeSet<ElemPath>>,
    /// Held by who reads, so that what is shown and what is stored do not part in between.
    gate: RwLock<()>,
}

impl WriteLens {
    pub(crate) fn new(store: Arc<dyn WriteStore>) -> Self {
        Self {
            lens: Lens::new(store.clone()),
            store,
            made: Mutex::default(),
            planned: Mutex::default(),
            without: Mutex::default(),
            gate: RwLock::default(),
        }
    }

    /// Makes real what is to be added to or changed: all that is shown at and above `at`.
    fn prepare(&self, at: &ElemPath) -> Result<()> {
        let mut above: Vec<ElemPath> = at.ancestors().chain([at.clone()]).collect();
        above.sort();
        for at in above {
            if self.made.lock().contains(&at) {
                return Ok(());
            }
            match self.lens.view(&at)?.as_deref().and_then(View::group) {
                Some(group) if group.upgrade.is_some() => {
                    return group.upgrade.as_ref().map_or(Ok(()), |upgrade| self.make_real(upgrade, |_| true));
                }
                Some(group) if group.at.is_none() => {
                    self.made.lock().insert(at.clone());
                    return self.store.create_group(&at, &group.attrs);
                }
                Some(_) => {}
                None => return Ok(()),
            }
        }
        Ok(())
    }

    /// Anndata takes `uns/FIELD_categories` for the categories of a field as long as frames are structured arrays.
    fn prepare_new(&self, at: &ElemPath) -> Result<()> {
        let Some(parent) = at.parent() else { return Ok(()) };
        if parent.name() == "uns" && at.name().ends_with("_categories") {
            let obs = parent.parent().unwrap_or_default().child("obs");
            if self.lens.view(&obs)?.as_deref().and_then(View::group).is_some_and(|g| g.upgrade.is_some()) {
                self.prepare(&obs)?;
            }
        }
        self.prepare(&parent)
    }

    /// Stores in `obsp` the graphs that are shown there and lie at or below `at`, which is to go or to move.
    fn save_graphs(&self, at: &ElemPath) -> Result<()> {
        let Some(uns) = at.components().position(|name| name == "uns") else { return Ok(()) };
        let base: Vec<&str> = at.components().take(uns).collect();
        let obsp = ElemPath::parse(&base.join("/"))?.child("obsp");
        let view = self.lens.view(&obsp)?;
        let Some(group) = view.as_deref().and_then(View::group) else { return Ok(()) };
        for (name, graph) in &group.more {
            let home = graph.group().map_or_else(|| graph.stored(), |g| g.at.as_ref());
            let (graph, lies_there) = (obsp.join(name)?, home.is_some_and(|home| home.starts_with(at)));
            if lies_there && self.made.lock().insert(graph.clone()) {
                self.prepare(&obsp)?;
                self.copy(&graph, false, &mut { MAX_NODES })?;
            }
        }
        Ok(())
    }

    /// Whether `at` is a part of something that is not made real yet and will be as a whole.
    fn is_part(&self, at: &ElemPath) -> Result<bool> {
        for above in at.ancestors() {
            if self.made.lock().contains(&above) {
                return Ok(false);
            }
            if self.lens.view(&above)?.as_deref().and_then(View::group).is_some_and(|g| g.upgrade.is_some()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What a slot is made of goes, and what is made of it is stored, as far as `wanted`.
    fn make_real(&self, upgrade: &Upgrade, wanted: impl Fn(&ElemPath) -> bool) -> Result<()> {
        self.made.lock().extend(upgrade.make.iter().cloned());
        upgrade.remove.iter().try_for_each(|at| self.store.remove(at))?;
        let mut budget = MAX_NODES;
        upgrade.make.iter().filter(|at| wanted(at)).try_for_each(|at| self.copy(at, false, &mut budget))
    }

    /// Stages what is shown at `at`; `grows`: its first axis may grow later.
    fn copy(&self, at: &ElemPath, grows: bool, budget: &mut usize) -> Result<()> {
        if self.without.lock().contains(at) {
            return Ok(());
        }
        *budget -= 1;
        if *budget == 0 || at.components().count() > MAX_DEPTH {
            let what = "groups nest too deep, or in circles".into();
            return Err(Error::Malformed { at: self.lens.place(at), what });
        }
        let node = self.lens.node(at)?.ok_or_else(|| self.lens.not_found(at))?;
        let meta = match &node.kind {
            NodeKind::Group => {
                self.store.create_group(at, &node.attrs)?;
                let grows = matches!(node.text("encoding-type"), Some("csr_matrix" | "csc_matrix"));
                let mut names = self.lens.children(at)?.into_iter();
                return names.try_for_each(|name| self.copy(&at.join(&name)?, grows, budget));
            }
            NodeKind::Array(meta) => meta,
        };
        let like = self.like(Some(at))?;
        let style = Style { like: like.as_ref(), resizable: grows };
        if meta.null {
            return self.store.create_null(at, &node.attrs);
        }
        if !meta.fields.is_empty() {
            let names: Vec<&str> = meta.fields.iter().map(|f| &*f.name).collect();
            let rows: Vec<Rows> = meta.shape.iter().map(|&n| Rows::All(n)).collect();
            let values = self.lens.read_fields(at, &names, &rows)?;
            let fields = names.into_iter().map(str::to_owned).zip(values).collect();
            let records = Records::new(meta.shape.clone(), fields)
                .map_err(|what| Error::Malformed { at: self.lens.place(at), what })?;
            return self.store.create_records(at, &records, style, &node.attrs);
        }
        if meta.dtype.is_none() {
            let stored = &meta.stored;
            let what = format!(
                "it is {stored}, which this version does not read; adding to what it is part of would mean to rewrite that \
                 in today's layout"
            );
            return Err(Error::Unsupported { at: self.lens.place(at), what });
        }
        self.store.create_array(at, &read_all(&self.lens, at)?, style, &node.attrs)
    }

    /// The stored array whose style is that of what is shown at `at`.
    fn like(&self, at: Option<&ElemPath>) -> Result<Option<ElemPath>> {
        let Some(at) = at else { return Ok(None) };
        // What is staged is not seen; it lies where it will be seen.
        Ok(Some(match self.lens.view(at)? {
            Some(view) => view.stored().unwrap_or(at).clone(),
            None => at.clone(),
        }))
    }

    fn done(&self) {
        self.made.lock().clear();
        self.without.lock().clear();
        *self.planned.lock() = Planned::default();
        self.lens.forget();
    }
}

impl ReadStore for WriteLens {
    fn location(&self) -> &str {
        self.lens.location()
    }

    fn node(&self, at: &ElemPath) -> Result<Option<Node>> {
        let _gate = self.gate.read_recursive();
        self.lens.node(at)
    }

    fn children(&self, at: &ElemPath) -> Result<Vec<String>> {
        let _gate = self.gate.read_recursive();
        self.lens.children(at)
    }

    fn read(&self, at: &ElemPath, rows: &[Rows]) -> Result<Array> {
        let _gate = self.gate.read_recursive();
        self.lens.read(at, rows)
    }

    fn read_fields(&self, at: &ElemPath, fields: &[&str], rows: &[Rows]) -> Result<Vec<Array>> {
        let _gate = self.gate.read_recursive();
        self.lens.read_fields(at, fields, rows)
    }

    fn fingerprint(&self, at: &ElemPath) -> Result<Option<u32>> {
        let _gate = self.gate.read_recursive();
        self.lens.fingerprint(at)
    }

    fn stats(&self) -> IoStats {
        self.lens.stats()
    }
}

impl WriteStore for WriteLens {
    fn create_group(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.prepare_new(at)?;
        self.store.create_group(at, attrs)
    }

    fn create_array(&self, at: &ElemPath, data: &Array, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        self.prepare_new(at)?;
        let like = self.like(style.like)?;
        self.store.create_array(at, data, Style { like: like.as_ref(), ..style }, attrs)
    }

    fn create_array_in_parts<'s>(
        &'s self,
        at: &ElemPath,
        dtype: DType,
        shape: &[usize],
        style: Style<'_>,
        attrs: &Attrs,
    ) -> Result<Box<dyn ArrayParts + 's>> {
        self.prepare_new(at)?;
        let like = self.like(style.like)?;
        self.store.create_array_in_parts(at, dtype, shape, Style { like: like.as_ref(), ..style }, attrs)
    }

    fn create_records(&self, at: &ElemPath, data: &Records, style: Style<'_>, attrs: &Attrs) -> Result<()> {
        self.prepare_new(at)?;
        let like = self.like(style.like)?;
        self.store.create_records(at, data, Style { like: like.as_ref(), ..style }, attrs)
    }

    fn create_null(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.prepare_new(at)?;
        self.store.create_null(at, attrs)
    }

    fn remove(&self, at: &ElemPath) -> Result<()> {
        if self.planned.lock().origin(at).is_some_and(|home| home != *at) {
            // What was renamed is as it is stored.
            self.store.remove(at)?;
            self.planned.lock().remove(at);
            return Ok(());
        }
        if self.is_part(at)? {
            self.lens.node(at)?.ok_or_else(|| self.lens.not_found(at))?;
            self.without.lock().insert(at.clone());
            return Ok(());
        }
        if let Some(parent) = at.parent() {
            self.prepare(&parent)?;
        }
        self.save_graphs(at)?;
        let view = self.lens.view(at)?;
        let group = view.as_deref().and_then(View::group);
        if let Some(upgrade) = group.and_then(|g| g.upgrade.as_ref()) {
            // All that it is made of goes; what else is made of that stays.
            self.make_real(upgrade, |made| made != at)?;
        } else {
            let codes = group.and_then(|g| g.more.get("codes")).and_then(|codes| codes.stored());
            let is_elsewhere = match (group, view.as_deref().and_then(View::stored)) {
                // A categorical of old: its codes are at its place, its categories beside the columns.
                _ if codes == Some(at) => false,
                // A graph lies in `uns/neighbors`.
                (Some(Group { at: Some(home), .. }), _) if home != at => {
                    self.store.remove(home)?;
                    self.planned.lock().remove(home);
                    self.made.lock().insert(at.clone());
                    return Ok(());
                }
                (Some(group), _) => group.at.is_none(),
                (None, stored) => stored.is_some_and(|stored| stored != at),
            };
            if is_elsewhere && !self.made.lock().iter().any(|made| at.starts_with(made)) {
                let what = "it is put together from other parts of a file of old, and cannot be removed alone".into();
                return Err(Error::Unsupported { at: self.lens.place(at), what });
            }
            self.store.remove(at)?;
            if codes == Some(at) {
                let categories = at.parent().unwrap_or_default().child(CATEGORIES).join(at.name())?;
                if self.store.node(&categories)?.is_some() {
                    self.store.remove(&categories)?;
                }
            }
        }
        self.planned.lock().remove(at);
        // What comes in its place is today's.
        self.made.lock().insert(at.clone());
        Ok(())
    }

    fn set_attrs(&self, at: &ElemPath, attrs: &Attrs) -> Result<()> {
        self.prepare(at)?;
        self.store.set_attrs(at, attrs)
    }

    fn rename(&self, from: &ElemPath, to: &ElemPath) -> Result<()> {
        for parent in [from, to].into_iter().filter_map(ElemPath::parent) {
            let home = self.planned.lock().origin(&parent);
            self.prepare(&home.unwrap_or(parent))?;
        }
        let home = self.planned.lock().origin(from).ok_or_else(|| self.lens.not_found(from))?;
        let view = self.lens.view(&home)?.ok_or_else(|| self.lens.not_found(from))?;
        let is_group = view.group().is_some_and(|g| g.upgrade.is_some() || g.at.as_ref() != Some(&home));
        let is_elsewhere = view.group().is_none() && view.stored() != Some(&home);
        if is_group || is_elsewhere {
            let what = "it is put together from other parts of a file of old, and cannot be renamed".into();
            return Err(Error::Unsupported { at: self.lens.place(from), what });
        }
        self.save_graphs(&home)?;
        self.store.rename(from, to)?;
        self.planned.lock().rename(from, to);
        Ok(())
    }

    fn publish_with(&self, safety: Safety) -> Result<()> {
        let _gate = self.gate.write();
        let parts: Vec<ElemPath> = self.without.lock().iter().filter_map(ElemPath::parent).collect();
        if let Err(error) = parts.iter().try_for_each(|group| self.prepare(group)) {
            // The first error is the one that matters.
            let _ = self.abandon();
            return Err(error);
        }
        let done = self.store.publish_with(safety);
        self.done();
        done
    }

    fn consolidate(&self) -> Result<()> {
        self.store.consolidate()
    }

    fn abandon(&self) -> Result<()> {
        self.done();
        self.store.abandon()
    }
}
