"""Which version of Conclave this is, as the installed distribution says."""


def version() -> str:
    """The distribution's version; `unknown` when the code runs without having been installed."""
    from importlib import metadata

    try:
        return metadata.version("conclave-mls")
    except metadata.PackageNotFoundError:
        return "unknown"
