"""The settings of masking: what is stored of the texts of events. Pure."""

import re
from typing import Literal

from pydantic import Field, model_validator

from pegel.conf.secret_ref import SecretRef
from pegel.conf.section import Section

FieldAction = Literal["drop", "keyed_hash", "mask", "keep"]

NEEDED = ("model_name", "model_version")
"""What a model is found by: its names are masked or kept."""
IDENTIFIERS = ("event_id", "feedback_id", *NEEDED, "prompt_version", "gen_ai.request.model", "trace_id")
CONTENT = ("input", "output", "label")
TEXTS = (*CONTENT, "error.type", "source")
MAPS = ("features", "segments", "extra")
"""``extra`` holds the fields of an event that its version does not know."""

_NAMED = re.compile(rf"(?:{'|'.join(MAPS)})\..+", re.DOTALL)


class MaskingSettings(Section):
    """What is stored of the texts of events, beyond the rules that mask addresses, numbers of people and secrets.

    ``content: none`` stores no text: of ``input``, ``output``, ``label`` and every unknown field a keyed hash, of
    ``input`` and ``output`` also how many characters and words they had, and of a refused event its SHA-256.
    ``fields`` says it for one field by its name in the event (``input``, ``segments.user``, ``features.city``,
    ``extra.session``), with ``segments.*`` for those that are not named, and goes before ``content``: ``drop``,
    ``keyed_hash`` (HMAC-SHA256, 64 hexadecimal digits), ``mask``, or ``keep`` as it came. If a field is dropped or
    hashed, no body of a refused event is stored, since nobody could find the field there. Keys of maps are masked too,
    but for those that ``fields`` names; of keys that become the same, all but the first get a number.
    """

    content: Literal["masked", "none"] = "masked"
    fields: dict[str, FieldAction] = Field(default_factory=dict)
    key: SecretRef = SecretRef(env="PEGEL_MASKING_KEY")
    """The key of the keyed hashes, at least 32 characters. Each executor reads it from its own environment, so that it
    stands in no plan, no page of Spark and no log; so it cannot be a file. Another key gives other hashes."""

    @model_validator(mode="after")
    def _meant(self) -> "MaskingSettings":
        for name, action in self.fields.items():
            if name not in (*TEXTS, *IDENTIFIERS) and not _NAMED.fullmatch(name):
                msg = (
                    f"masking.fields names {name!r}, which is no text of an event; use one of "
                    f"{', '.join((*TEXTS, *IDENTIFIERS))}, or features.NAME, segments.NAME, extra.NAME"
                )
                raise ValueError(msg)
            if name in NEEDED and action not in {"mask", "keep"}:
                msg = f"masking.fields says {action} for {name}, by which a model is found; use mask or keep"
                raise ValueError(msg)
            if name in {"event_id", "feedback_id"} and action == "drop":
                msg = f"masking.fields says drop for {name}, by which copies are found; use keyed_hash, mask or keep"
                raise ValueError(msg)
        if self.needs_key and self.key.env is None:
            msg = (
                "masking.key must be {env: NAME}, since each executor reads it from its own environment; "
                "set the variable on every machine of the cluster"
            )
            raise ValueError(msg)
        return self

    @property
    def needs_key(self) -> bool:
        """Whether anything is hashed."""
        return self.content == "none" or "keyed_hash" in self.fields.values()

    @property
    def keeps_bodies(self) -> bool:
        """Whether refused events keep their masked body."""
        return self.content == "masked" and not {"drop", "keyed_hash"} & set(self.fields.values())

    def action(self, name: str) -> FieldAction:
        """What happens to a field.

        Args:
            name: its name in the event; ``extra.*`` and the like stand for what is not named.

        Example:
            >>> chosen = MaskingSettings(content="none", fields={"output": "mask"})
            >>> chosen.action("input"), chosen.action("output"), chosen.action("segments.user")
            ('keyed_hash', 'mask', 'mask')
        """
        hidden = name in CONTENT or name.startswith("extra.")
        return self.fields.get(name, "keyed_hash" if hidden and self.content == "none" else "mask")

    def named_in(self, map_name: str) -> dict[str, FieldAction]:
        """Key of a map -> what happens to its value, for those that are named."""
        prefix = f"{map_name}."
        return {
            name.removeprefix(prefix): how
            for name, how in self.fields.items()
            if name.startswith(prefix) and name != f"{prefix}*"
        }
