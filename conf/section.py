"""What every section of the settings is: frozen, unknown keys refused. Pure."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """One section; its docstring and types are the page of settings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
