"""How templates become pages: everything is escaped, and a name that is not there is an error. Edge: reads files."""

from jinja2 import Environment, PackageLoader, StrictUndefined


def page_templates() -> Environment:
    """A new environment for the templates of this package; whoever asks adds its filters."""
    return Environment(
        loader=PackageLoader("pegel.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
