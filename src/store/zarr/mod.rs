//! To come.
use super::*;
use crate::error::Result;
use std::path::Path;
pub struct ZarrStore;
impl ZarrStore {
    pub fn open_read(_p: &Path) -> Result<Self> {
        unimplemented!()
    }
    pub fn open_write(_p: &Path) -> Result<Self> {
        unimplemented!()
    }
}
impl ReadStore for ZarrStore {
    fn location(&self) -> &str {
        unimplemented!()
    }
    fn node(&self, _at: &ElemPath) -> Result<Option<Node>> {
        unimplemented!()
    }
    fn children(&self, _at: &ElemPath) -> Result<Vec<String>> {
        unimplemented!()
    }
    fn read(&self, _at: &ElemPath, _rows: &[Rows]) -> Result<Array> {
        unimplemented!()
    }
    fn stats(&self) -> IoStats {
        unimplemented!()
    }
}
impl WriteStore for ZarrStore {
    fn create_group(&self, _at: &ElemPath, _attrs: &Attrs) -> Result<()> {
        unimplemented!()
    }
    fn create_array(&self, _at: &ElemPath, _data: &Array, _style: Style<'_>, _attrs: &Attrs) -> Result<()> {
        unimplemented!()
    }
    fn create_null(&self, _at: &ElemPath, _attrs: &Attrs) -> Result<()> {
        unimplemented!()
    }
    fn set_attrs(&self, _at: &ElemPath, _attrs: &Attrs) -> Result<()> {
        unimplemented!()
    }
    fn publish(&self) -> Result<()> {
        unimplemented!()
    }
    fn consolidate(&self) -> Result<()> {
        unimplemented!()
    }
    fn abandon(&self) -> Result<()> {
        unimplemented!()
    }
}
