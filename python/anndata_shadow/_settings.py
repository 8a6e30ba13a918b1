"""Settings of the package, for all shadows."""

__all__ = ["settings"]


class Settings:
    """What holds for all shadows.

    Attributes
    ----------
    pose : bool
        Whether ``isinstance(shadow, anndata.AnnData)`` (and ``mudata.MuData``) is true, so that tools like scanpy
        accept shadows. Single shadows are told by ``AnnDataShadow(path, pose=False)``.
    """

    def __init__(self):
        self.pose = True

    def __repr__(self):
        return f"<anndata_shadow settings: pose={self.pose}>"


settings = Settings()
