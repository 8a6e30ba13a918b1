//! A MuData: its modalities, and the maps and masks between them and the global rows.

use serde_json::Value;

use super::Examiner;
use super::look::{Look, Task};
use crate::codec;
use crate::path::ElemPath;
use crate::shadow::slots;
use crate::store::{Node, ReadStore};
use crate::value::DType;

impl Examiner {
    pub(super) fn mudata(&mut self, store: &dyn ReadStore, base: &ElemPath, node: &Node) {
        self.root_tags(base, node, "MuData", "0.1.0");
        let global = self.axes(store, base);
        self.slots(store, base, &slots::OF_MUDATA, global);
        let known = ["obs", "var", "obsm", "varm", "obsp", "varp", "uns", "obsmap", "varmap", "mod"];
        for name in self.sound(base, store.children(base)).unwrap_or_default() {
            if !known.contains(&name.as_str()) {
                self.note(
                    base,
                    format!("`{name}` is no part of a MuData: mudata before 0.4 refuses a file that has it"),
                );
            }
        }
        self.shared_axis(base, node);
        let group = base.child("mod");
        let Some(Some(mods)) = self.sound(&group, store.node(&group)) else {
            return self.damage(base, "there is no `mod` with modalities");
        };
        self.order(store, &group, &mods);
        for name in self.sound(&group, codec::modalities(store, &group)).unwrap_or_default() {
            let at = group.child(&name);
            let own = self.object(store, &at);
            self.map(store, base, &name, ["obsmap", "obsm", "obs"], (global.obs, own.obs));
            self.map(store, base, &name, ["varmap", "varm", "var"], (global.var, own.var));
        }
    }

    fn shared_axis(&mut self, base: &ElemPath, node: &Node) {
        let axis = node.attrs.get("axis");
        let number = axis.map(|a| a.as_array().map_or(a, |list| list.first().unwrap_or(a)));
        if let Some(found) = number.filter(|n| !n.as_f64().is_some_and(|n| [0.0, 1.0, -1.0].contains(&n))) {
            self.damage(base, format!("its attribute `axis` is {found}, not 0, 1 or -1"));
        }
    }

    /// `mod-order` against the modalities that there are.
    fn order(&mut self, store: &dyn ReadStore, group: &ElemPath, node: &Node) {
        let Some(order) = node.attrs.get("mod-order") else { return };
        let there = self.sound(group, store.children(group)).unwrap_or_default();
        let listed: Vec<String> = match order {
            Value::String(one) => vec![one.clone()],
            Value::Array(names) => names.iter().filter_map(|n| n.as_str().map(str::to_owned)).collect(),
            _ => return self.damage(group, "its attribute `mod-order` is no list of names"),
        };
        if let Some(gone) = listed.iter().find(|name| !there.contains(name)) {
            let what = format!("`mod-order` lists `{gone}`, which is not there: mudata ignores the whole list");
            self.find(super::Severity::Stale, group, what);
        } else if let Some(hidden) = there.iter().find(|name| !listed.contains(name)) {
            let what = format!("`mod-order` does not list `{hidden}`: mudata leaves it out");
            self.find(super::Severity::Stale, group, what);
        }
    }

    /// The map of a modality along an axis, and the mask that repeats it.
    fn map(
        &mut self,
        store: &dyn ReadStore,
        base: &ElemPath,
        name: &str,
        [maps, masks, frame]: [&str; 3],
        (global, own): (Option<usize>, Option<usize>),
    ) {
        let (Some(global), Some(own)) = (global, own) else { return };
        let at = base.child(maps).child(name);
        if matches!(store.node(&base.child(maps)), Ok(None)) || matches!(store.node(&at), Ok(None)) {
            return self.note(&at, "there is none; rows are found by their names");
        }
        // Of another length, it has been told with the other elements of its slot.
        let Ok(Some(node)) = store.node(&at) else { return };
        let Some(meta) = node.array().filter(|meta| meta.shape == [global]) else { return };
        let mask = base.child(masks).child(name);
        let mask = store.node(&mask).ok().flatten().and_then(|node| Some((mask, node.array()?.clone())));
        let mask = mask.filter(|(_, m)| m.dtype == Some(DType::Bool) && m.shape.first() == Some(&global));
        let index = |at: &ElemPath| self.index(store, &at.child(frame)).map(|(index, _)| index);
        let names = index(base).zip(index(&base.child("mod").child(name)));
        let look = Look::Map { rows: own, mask: mask.map(|(at, _)| at), names };
        let weight = meta.shape.iter().product::<usize>() as u64 * 128;
        self.small(Task { at, look, weight });
    }
}
