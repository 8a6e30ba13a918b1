//! What only the place in an AnnData tells: frames and sets of arrays that are one structured array (up to 0.6), categories
//! in `uns`, `raw` in parts, graphs in `uns/neighbors`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::json;

use super::node::fit;
use super::view::{Group, Part, Role, Upgrade, View, tags};
use super::{Lens, sound};
use crate::error::Result;
use crate::index::Rows;
use crate::path::ElemPath;
use crate::store::{ArrayMeta, Attrs, Field, Node};
use crate::value::DType;

/// Graphs that anndata shows in `obsp` wherever they are.
pub(super) const GRAPHS: [&str; 2] = ["distances", "connectivities"];

/// Parts of `raw` that stood beside it up to 0.6.
const RAW_PARTS: [&str; 3] = ["X", "var", "varm"];

/// What a slot of old may be kept as: a structured array.
type Structured = (ElemPath, ArrayMeta);

impl Lens {
    /// The node at `at`, which may be an AnnData or have some below it.
    pub(super) fn outside(&self, at: ElemPath) -> Result<Option<View>> {
        let Some(node) = self.store.node(&at)? else { return Ok(None) };
        if !node.is_group() || self.store.node(&at.child("obs"))?.is_none() {
            return Ok(Some(match node.is_group() {
                true => View::Group(Group { at: Some(at), attrs: node.attrs, role: Role::Outside, ..Group::default() }),
                false => View::Array(at),
            }));
        }
        self.anndata(at, node.attrs).map(View::Group).map(Some)
    }

    fn anndata(&self, at: ElemPath, attrs: Attrs) -> Result<Group> {
        let mut more = BTreeMap::new();
        let mut show = |name: &str, group: Group| more.insert(name.to_owned(), Arc::new(View::Group(group)));
        let names = self.store.children(&at)?;
        let has = |name: &str| names.iter().any(|n| n == name);
        let mut hide: BTreeSet<String> = names.iter().filter(|n| n.starts_with("raw.")).cloned().collect();

        let frames = ["obs", "var"].map(|name| self.structured(at.child(name)));
        let [obs, var] = frames;
        let (obs, var) = (obs?, var?);
        let lists = match &obs {
            Some(_) => self.lists_in_uns(&at, &[&obs, &var])?,
            None => BTreeMap::new(),
        };
        let stored = obs.iter().chain(&var).map(|(at, _)| at.clone());
        let used: BTreeSet<String> = lists.keys().map(|(_, field)| format!("{field}_categories")).collect();
        let uns = at.child("uns");
        let remove = stored.clone().chain(used.iter().map(|name| uns.child(name))).collect();
        let frames = Arc::new(Upgrade { remove, make: stored.collect() });
        for (number, frame) in [&obs, &var].into_iter().enumerate() {
            if let Some((path, meta)) = frame {
                let list = |field: &str| lists.get(&(number, field.to_owned())).cloned();
                show(path.name(), self.compound_frame(path, meta, list, frames.clone())?);
            }
        }
        for name in ["obsm", "varm"] {
            if let Some((path, meta)) = self.structured(at.child(name))? {
                show(name, fields(&path, &meta));
            }
        }
        if !has("raw") {
            if let Some(raw) = self.raw_in_parts(&at)? {
                show("raw", raw);
            }
        } else if let Some(raw) = self.raw(&at)? {
            show("raw", raw);
        }
        if has("mod") {
            // A MuData: graphs are kept where they are, and modalities are AnnData of their own.
            if let Some(node) = self.stored(&at.child("mod"))?.filter(Node::is_group) {
                let role = Role::Outside;
                show("mod", Group { at: Some(at.child("mod")), attrs: node.attrs, role, ..Group::default() });
            }
        } else {
            let (neighbors, obsp) = self.graphs(&at)?;
            let neighbors = neighbors.map(|group| ("neighbors".to_owned(), Arc::new(View::Group(group))));
            obsp.map(|group| show("obsp", group));
            if let Some(node) = self.stored(&uns)?.filter(|n| n.is_group() && (neighbors.is_some() || !used.is_empty()))
            {
                let more = neighbors.into_iter().collect();
                show("uns", Group { at: Some(uns), attrs: node.attrs, hide: used, more, ..Group::default() });
            }
        }
        hide.retain(|name| !more.contains_key(name));
        Ok(Group { at: Some(at), attrs, hide, more, ..Group::default() })
    }

    /// The structured array at `at`, if there is one without tags.
    fn structured(&self, at: ElemPath) -> Result<Option<Structured>> {
        let node = self.stored(&at)?.filter(|n| n.text("encoding-type").is_none());
        let meta = node.as_ref().and_then(Node::array).filter(|m| !m.fields.is_empty() && m.shape.len() == 1);
        Ok(meta.map(|m| (at, m.clone())))
    }

    /// The categories of fields of the frames, by the number of the frame and name: `uns/FIELD_categories` serves whichever of
    /// the two has a field of that name with codes that fit.
    fn lists_in_uns(
        &self,
        base: &ElemPath,
        frames: &[&Option<Structured>],
    ) -> Result<BTreeMap<(usize, String), ElemPath>> {
        let uns = base.child("uns");
        let mut lists = BTreeMap::new();
        if !self.stored(&uns)?.is_some_and(|n| n.is_group()) {
            return Ok(lists);
        }
        let mut known: Vec<(String, ElemPath, usize)> = Vec::new();
        for name in self.store.children(&uns)? {
            if let Some(field) = name.strip_suffix("_categories")
                && let Some(len) = self.list_len(&uns.join(&name)?)?
            {
                known.push((field.to_owned(), uns.join(&name)?, len));
            }
        }
        for (number, frame) in frames.iter().enumerate() {
            let Some((path, meta)) = frame else { continue };
            let is_codes = |f: &Field| f.shape.is_empty() && f.dtype.is_some_and(DType::is_integer);
            let coded = |name: &str| meta.fields.iter().skip(1).any(|f| f.name == name && is_codes(f));
            let found: Vec<_> = known.iter().filter(|(field, ..)| coded(field)).collect();
            if found.is_empty() {
                continue;
            }
            let names: Vec<&str> = found.iter().map(|(field, ..)| &**field).collect();
            // Of one that cannot be read, reading a column says why.
            let codes = sound(self.store.read_fields(path, &names, &[Rows::All(meta.shape[0])]))?;
            for (i, (field, list, len)) in found.into_iter().enumerate() {
                if codes.as_ref().and_then(|codes| codes.get(i)).is_none_or(|codes| fit(codes, *len)) {
                    lists.insert((number, field.clone()), list.clone());
                }
            }
        }
        Ok(lists)
    }

    /// A structured array as a frame: the first field is the index.
    fn compound_frame(
        &self,
        at: &ElemPath,
        meta: &ArrayMeta,
        list: impl Fn(&str) -> Option<ElemPath>,
        upgrade: Arc<Upgrade>,
    ) -> Result<Group> {
        let names: Vec<&str> = meta.fields.iter().map(|f| &*f.name).collect();
        let mut attrs = Attrs::new();
        attrs.insert("_index".into(), json!(names[0]));
        attrs.insert("column-order".into(), json!(names[1..]));
        let mut frame = Group::made(tags(attrs, "dataframe", "0.2.0"), BTreeMap::new(), Some(upgrade));
        for field in &meta.fields {
            // A name that is no path cannot be asked for; it is listed all the same.
            let Ok(path) = ElemPath::parse(&field.name) else { continue };
            let part = Part::field(at.clone(), meta, field);
            let view = match list(&field.name) {
                Some(list) => View::Group(self.with_categories(part, &list, None)?),
                None => View::Part(part),
            };
            frame.put(&path, view);
        }
        Ok(frame)
    }

    /// `raw.X`, `raw.var` and `raw.varm` as `raw`; the categories of its frame are in `raw.cat`.
    fn raw_in_parts(&self, base: &ElemPath) -> Result<Option<Group>> {
        let beside = |name: &str| base.child(&format!("raw.{name}"));
        let mut remove = Vec::new();
        for name in RAW_PARTS.iter().chain(&["cat"]) {
            remove.extend(self.stored(&beside(name))?.map(|_| beside(name)));
        }
        let upgrade = Arc::new(Upgrade { remove, make: vec![base.child("raw")] });
        let mut more = BTreeMap::new();
        for name in RAW_PARTS {
            let view = match self.structured(beside(name))? {
                Some((at, meta)) if name == "var" => {
                    let mut lists = BTreeMap::new();
                    for field in &meta.fields {
                        if let Ok(list) = beside("cat").join(&format!("{}_categories", field.name))
                            && let Some(len) = self.list_len(&list)?
                            && fit_field(self, &at, &meta, field, len)?
                        {
                            lists.insert(field.name.clone(), list);
                        }
                    }
                    let list = |field: &str| lists.get(field).cloned();
                    Some(View::Group(self.compound_frame(&at, &meta, list, upgrade.clone())?))
                }
                Some((at, meta)) if name == "varm" => Some(View::Group(fields(&at, &meta))),
                _ => sound(self.plain(beside(name)))?.flatten(),
            };
            more.extend(view.map(|view| (name.to_owned(), Arc::new(view))));
        }
        if more.is_empty() {
            return Ok(None);
        }
        Ok(Some(Group::made(tags(Attrs::new(), "raw", "0.1.0"), more, Some(upgrade))))
    }

    /// A `raw` whose frame or varm is a structured array.
    fn raw(&self, base: &ElemPath) -> Result<Option<Group>> {
        let at = base.child("raw");
        let mut more = BTreeMap::new();
        if let Some((path, meta)) = self.structured(at.child("var"))? {
            let upgrade = Arc::new(Upgrade { remove: vec![path.clone()], make: vec![path.clone()] });
            let frame = self.compound_frame(&path, &meta, |_| None, upgrade)?;
            more.insert("var".to_owned(), Arc::new(View::Group(frame)));
        }
        if let Some((path, meta)) = self.structured(at.child("varm"))? {
            more.insert("varm".to_owned(), Arc::new(View::Group(fields(&path, &meta))));
        }
        let node = self.stored(&at)?.filter(|n| n.is_group() && !more.is_empty());
        Ok(node.map(|node| Group { at: Some(at), attrs: node.attrs, more, ..Group::default() }))
    }

    /// `uns/neighbors` without its graphs and `obsp` with them, if there are any.
    fn graphs(&self, base: &ElemPath) -> Result<(Option<Group>, Option<Group>)> {
        let at = base.child("uns").child("neighbors");
        let Some(node) = self.stored(&at)?.filter(Node::is_group) else { return Ok((None, None)) };
        let (mut hide, mut more) = (BTreeSet::new(), BTreeMap::new());
        for name in GRAPHS {
            let Some(view) = sound(self.plain(at.child(name)))?.flatten() else { continue };
            let is_matrix = match &view {
                View::Group(group) => {
                    let tag = group.attrs.get("encoding-type").and_then(|v| v.as_str());
                    matches!(tag, Some("csr_matrix" | "csc_matrix"))
                }
                View::Array(at) => {
                    self.store.node(at)?.as_ref().and_then(Node::array).is_some_and(|m| m.shape.len() == 2)
                }
                View::Part(part) => part.shape().len() == 2,
            };
            if is_matrix {
                hide.insert(name.to_owned());
                more.insert(name.to_owned(), Arc::new(view));
            }
        }
        if more.is_empty() {
            return Ok((None, None));
        }
        let obsp = base.child("obsp");
        let stored = self.stored(&obsp)?.filter(Node::is_group);
        let attrs = stored.as_ref().map_or_else(|| tags(Attrs::new(), "dict", "0.1.0"), |n| n.attrs.clone());
        let neighbors = Group { at: Some(at), attrs: node.attrs, hide, ..Group::default() };
        Ok((Some(neighbors), Some(Group { at: stored.map(|_| obsp), attrs, more, ..Group::default() })))
    }
}

fn fit_field(lens: &Lens, at: &ElemPath, meta: &ArrayMeta, field: &Field, len: usize) -> Result<bool> {
    if !field.shape.is_empty() || !field.dtype.is_some_and(DType::is_integer) {
        return Ok(false);
    }
    let codes = sound(lens.store.read_fields(at, &[&field.name], &[Rows::All(meta.shape[0])]))?;
    Ok(codes.is_none_or(|codes| codes.first().is_some_and(|codes| fit(codes, len))))
}

/// A structured array as a dict with one array for each field: a column is a matrix, as anndata has it.
fn fields(at: &ElemPath, meta: &ArrayMeta) -> Group {
    let upgrade = Arc::new(Upgrade { remove: vec![at.clone()], make: vec![at.clone()] });
    let mut group = Group::made(tags(Attrs::new(), "dict", "0.1.0"), BTreeMap::new(), Some(upgrade));
    for field in &meta.fields {
        let Ok(path) = ElemPath::parse(&field.name) else { continue };
        let part = Part::field(at.clone(), meta, field);
        let part = if field.shape.is_empty() { part.shaped(&[&meta.shape[..], &[1]].concat()) } else { part };
        group.put(&path, View::Part(part));
    }
    group
}
