"""Pegel watches language and machine-learning models in production."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("pegel")
except PackageNotFoundError:  # a zip on --py-files has no metadata
    __version__ = "0+unknown"

__all__ = ["__version__"]
