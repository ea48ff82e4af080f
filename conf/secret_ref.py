"""A secret is referred to in settings and read only at the moment of use. Edge: reads environment and files."""

import os
from pathlib import Path

from pydantic import BaseModel, ConfigDict, model_validator

from pegel.errors import SettingsError


class SecretRef(BaseModel):
    """Where a secret lies: ``{env: NAME}`` or ``{file: PATH}``, exactly one of them.

    On Databricks, map the secret scope to an environment variable of the cluster (``{{secrets/scope/key}}``).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    env: str | None = None
    file: str | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "SecretRef":
        if (self.env is None) == (self.file is None):
            msg = "a secret is {env: NAME} or {file: PATH}, exactly one of them, and never the value itself"
            raise ValueError(msg)
        return self

    def read(self) -> str:
        """The secret itself; call it where it is used and do not keep it.

        Raises:
            SettingsError: if the variable or file is not there or empty.
        """
        if self.env is not None:
            value = os.environ.get(self.env, "")
            where = f"the environment variable {self.env}"
        else:
            path = Path(self.file or "")
            value = path.read_text(encoding="utf-8").strip() if path.is_file() else ""
            where = f"the file {path}"
        if not value:
            msg = f"a secret is missing: {where} is empty or not there; set it before you start this job"
            raise SettingsError(msg)
        return value
