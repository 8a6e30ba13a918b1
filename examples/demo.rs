//! quick probe
use anndata_shadow::*;
fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let p = std::env::args().nth(1).ok_or("path")?;
    let s = AnnDataShadow::open(&p)?;
    println!("{s}");
    for e in s.elements()? { println!("{:40} {:?} {:?} {:?} {:?}", e.path, e.info.kind, e.info.shape, e.info.dtype, e.info.encoding); 
       match s.member(&e.path)?.element() { Ok(v) => println!("      {}", v.describe()), Err(x) => println!("      ERR {x}") } }
    println!("{:?}", s.io_stats());
    Ok(())
}
