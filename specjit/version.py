"""The version, in the one place that the build, the cache keys and `specjit env` read."""

__version__ = "0.1.0"
