//! `.npz`: arrays by name in a zip file; sparse matrices as scipy.sparse.save_npz lays them out.

use std::io::{Cursor, Read, Seek, Write};

use anndata_shadow::{Array, Indices, Sparse, SparseFormat};
use npyz::npz::{NpzArchive, NpzWriter};
use npyz::{DType, WriterBuilder};

use super::{Content, npy};

/// Writes one array named `name`, as numpy.savez does.
///
/// # Errors
/// As [`npy::write`].
pub(crate) fn write_dense<W: Write + Seek>(out: W, name: &str, array: &Array) -> Result<(), String> {
    let mut npz = NpzWriter::new(out);
    put(&mut npz, name, array)?;
    finish(&mut npz)
}

/// Writes a sparse matrix as scipy.sparse.save_npz does.
///
/// # Errors
/// Those of the stream.
pub(crate) fn write_sparse<W: Write + Seek>(out: W, sparse: &Sparse) -> Result<(), String> {
    let mut npz = NpzWriter::new(out);
    // scipy reads the two into one integer type, int32 wherever that is enough.
    let (indices, indptr) = (sparse.indices(), sparse.indptr());
    let largest = indices.iter().max().unwrap_or(0).max(sparse.nnz());
    let [indices, indptr] = if i32::try_from(largest).is_ok() {
        [indices.iter().map(|i| i as i32).collect(), indptr.iter().map(|&p| p as i32).collect()]
            .map(Array::from_vec::<i32>)
    } else {
        [indices.iter().map(|i| i as i64).collect(), indptr.iter().map(|&p| p as i64).collect()]
            .map(Array::from_vec::<i64>)
    };
    put(&mut npz, "indices", &indices)?;
    put(&mut npz, "indptr", &indptr)?;
    let format: &[u8] = if sparse.format() == SparseFormat::Csr { b"csr" } else { b"csc" };
    let text = |e: std::io::Error| e.to_string();
    let bytes = DType::Plain("|S3".parse().map_err(|_| "the type of text is not known")?);
    let mut writer = npz
        .array::<[u8]>("format", Default::default())
        .map_err(text)?
        .dtype(bytes)
        .shape(&[])
        .begin_nd()
        .map_err(text)?;
    writer.push(format).map_err(text)?;
    writer.finish().map_err(text)?;
    put(&mut npz, "shape", &Array::from_vec(sparse.shape().iter().map(|&n| n as i64).collect()))?;
    put(&mut npz, "data", sparse.data())?;
    finish(&mut npz)
}

fn put<W: Write + Seek>(npz: &mut NpzWriter<W>, name: &str, array: &Array) -> Result<(), String> {
    let entry = npyz::npz::file_name_from_array_name(name);
    npz.zip_writer().start_file(entry, Default::default()).map_err(|e| e.to_string())?;
    npy::write(npz.zip_writer(), array)
}

fn finish<W: Write + Seek>(npz: &mut NpzWriter<W>) -> Result<(), String> {
    npz.zip_writer().finish().map(|_| ()).map_err(|e| e.to_string())
}

/// Reads a scipy matrix, or the array `name`, or the only one.
///
/// # Errors
/// Damage; several arrays none of which is `name`.
pub(crate) fn read<R: Read + Seek>(file: R, name: &str) -> Result<Content, String> {
    let mut npz = NpzArchive::new(file).map_err(|e| format!("not an .npz file: {e}"))?;
    let names: Vec<String> = npz.array_names().map(str::to_owned).collect();
    let has = |n: &str| names.iter().any(|x| x == n);
    if has("format") && has("shape") && has("data") {
        return sparse(&mut npz, &names).map(Content::Sparse);
    }
    match (&names[..], has(name)) {
        (_, true) => member(&mut npz, name).map(Content::Array),
        ([only], _) => member(&mut npz, only).map(Content::Array),
        _ => Err(format!("it holds {} arrays ({}), none of them `{name}`", names.len(), names.join(", "))),
    }
}

fn member<R: Read + Seek>(npz: &mut NpzArchive<R>, name: &str) -> Result<Array, String> {
    npy::read(bytes(npz, name)?).map_err(|e| format!("array `{name}`: {e}"))
}

/// The bytes of an entry; taken out whole, since a checksum error shows only at the end.
fn bytes<R: Read + Seek>(npz: &mut NpzArchive<R>, name: &str) -> Result<Cursor<Vec<u8>>, String> {
    let path = npyz::npz::file_name_from_array_name(name);
    let mut entry = npz.zip_archive().by_name(&path).map_err(|e| format!("array `{name}`: {e}"))?;
    let mut all = Vec::new();
    entry.read_to_end(&mut all).map_err(|e| format!("array `{name}`: {e}"))?;
    Ok(Cursor::new(all))
}

fn sparse<R: Read + Seek>(npz: &mut NpzArchive<R>, names: &[String]) -> Result<Sparse, String> {
    let format = npyz::NpyFile::new(bytes(npz, "format")?).map_err(|e| e.to_string())?;
    // Bytes or, from old scipy on Python 3, text of four bytes a letter.
    let mut raw = Vec::new();
    format.into_inner().read_to_end(&mut raw).map_err(|e| e.to_string())?;
    let format: String = raw.into_iter().filter(|b| *b != 0).map(char::from).collect();
    let format = match format.as_str() {
        "csr" => SparseFormat::Csr,
        "csc" => SparseFormat::Csc,
        other => return Err(format!("it is a scipy matrix of format `{other}`; save it as csr or csc")),
    };
    if !names.iter().any(|n| n == "indptr") {
        return Err("it is a scipy matrix without `indptr`".into());
    }
    let mut integers = |name: &str| -> Result<Vec<u64>, String> {
        let all = member(npz, name)?.to_i64().ok_or_else(|| format!("`{name}` are no integers"))?;
        all.into_iter().map(|v| u64::try_from(v).map_err(|_| format!("`{name}` holds {v}"))).collect()
    };
    let shape = integers("shape")?;
    let indptr = integers("indptr")?;
    let indices = Indices::try_from(member(npz, "indices")?)?;
    let [rows, cols] = shape[..] else { return Err(format!("its shape has {} axes, not two", shape.len())) };
    Sparse::new(format, [rows as usize, cols as usize], member(npz, "data")?, indices, indptr)
}
