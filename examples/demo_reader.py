"""What Python sees of the store that the demo wrote: the new elements, through consolidated metadata where there are some."""

import sys
import warnings

warnings.simplefilter("ignore")

import anndata as ad
import zarr

path = sys.argv[1]
if path.endswith(".zarr"):
    zarr.open_group(path, mode="r", use_consolidated=True)["obsm/X_scaled"]
    adata = ad.read_zarr(path)
else:
    adata = ad.read_h5ad(path)
embedding, score = adata.obsm["X_scaled"], adata.obs["score"]
print(f"obsm: {', '.join(adata.obsm)}")
print(f"X_scaled: {embedding.shape} {embedding.dtype}, first {embedding[0, 0]:.3f}; score: {score.dtype}, first {score.iloc[0]:.3f}")
