//! Awkward arrays as polars series.

use polars::prelude::{DataType, IdxCa, IdxSize, NamedFrom, NewChunkedArray, PlSmallStr, PolarsError, Series};

use super::layout::{Layout, Node};
use crate::value::{Element, column_to_series};

/// The items as a series without a name.
///
/// # Errors
/// What has no form in polars, by awkward's name.
pub(super) fn of(layout: &Layout) -> Result<Series, String> {
    let unnamed = PlSmallStr::EMPTY;
    let texts = || (0..layout.len).map(|i| layout.bytes(i).unwrap_or_default());
    match (&layout.node, layout.kind()) {
        (_, Some("string")) => {
            let texts: Vec<_> = texts().map(String::from_utf8_lossy).collect();
            Ok(Series::new(unnamed, texts))
        }
        (_, Some("bytestring")) => Ok(Series::new(unnamed, texts().collect::<Vec<&[u8]>>())),
        (Node::Empty, _) => Ok(Series::new_empty(unnamed, &DataType::Null)),
        (Node::Items(array), _) => column_to_series("", &Element::Array(array.clone())),
        (Node::List { content, .. } | Node::Regular { content, .. }, _) => {
            let items = of(content)?;
            let lists = (0..layout.len).map(|i| {
                let span = layout.span(i);
                items.slice(span.start as i64, span.len())
            });
            let lists = Series::new(unnamed, lists.collect::<Vec<Series>>());
            // Of no lists at all, polars knows no type.
            lists.cast(&DataType::List(Box::new(items.dtype().clone()))).map_err(text)
        }
        (Node::Option { index, content } | Node::Indexed { index, content }, _) => {
            let items = of(content)?;
            if items.is_empty() {
                return Ok(Series::full_null(unnamed, layout.len, items.dtype()));
            }
            if IdxSize::try_from(content.len).is_err() {
                return Err(format!("{} values are more than polars can look up", content.len));
            }
            let index = index.iter().map(|&i| IdxSize::try_from(i).ok());
            items.take(&IdxCa::from_iter_options(unnamed, index)).map_err(text)
        }
        (Node::Record { .. } | Node::Union { .. }, _) => Err(format!("{} has no polars form", layout.type_text())),
    }
}

fn text(error: PolarsError) -> String {
    error.to_string()
}
