"""Settings of the package, for all shadows."""

from __future__ import annotations

__all__ = ["settings"]


class Settings:
    """What holds for all shadows.

    Attributes
    ----------
    pose : bool
        Whether ``isinstance(shadow, anndata.AnnData)`` (and ``mudata.MuData``) is true, so that tools like scanpy
        accept shadows. Single shadows are told by ``AnnDataShadow(path, pose=False)``.
    """

    def __init__(self) -> None:
        self.pose: bool = True

    def __repr__(self) -> str:
        return f"<anndata_shadow settings: pose={self.pose}>"


settings = Settings()
