"""The queries that the demo asks: from the seeded generator, or the real ones of CLINC150. Edge: reads one file."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from pegel.errors import SettingsError

OUT_OF_SCOPE = "oos"


@dataclass(frozen=True, slots=True)
class Query:
    """One text and the intent that it has in truth."""

    text: str
    label: str


@dataclass(frozen=True, slots=True)
class QueryPool:
    """What the demo draws from.

    Attributes:
        training: what the first champion is trained on; the usual domains only.
        validation: what its baseline is made of; the usual domains only.
        usual: live traffic before the drift begins; none of it is in ``training``.
        novel: the domain that comes later.
        out_of_scope: queries that belong to no domain; they come later too.
    """

    training: Sequence[Query]
    validation: Sequence[Query]
    usual: Sequence[Query]
    novel: Sequence[Query]
    out_of_scope: Sequence[Query]


def generated_pool(seed: int) -> QueryPool:
    """Queries made from ``intents.yml``: the same seed gives the same pool."""
    content = yaml.safe_load(resources.files("pegel.local.demo").joinpath("intents.yml").read_text(encoding="utf-8"))
    rng = random.Random(seed)
    slots = content["slots"]

    def make(domains: Mapping[str, Mapping[str, Sequence[str]]], each: int) -> list[Query]:
        return [
            Query(_fill(rng, rng.choice(templates), slots), intent)
            for intents in domains.values()
            for intent, templates in intents.items()
            for _ in range(each)
        ]

    training = make(content["usual"], 120)
    known = {query.text for query in training}
    usual = [query for query in make(content["usual"], 400) if query.text not in known]
    rng.shuffle(usual)
    outside = [Query(_fill(rng, rng.choice(content["out_of_scope"]), slots), OUT_OF_SCOPE) for _ in range(600)]
    return QueryPool(training, usual[: len(usual) // 3], usual, make(content["novel"], 300), outside)


def clinc_pool(path: Path) -> QueryPool:
    """CLINC150: the domain that comes last in ``clinc150_domains.json`` beside the file is the one that arrives later.

    Raises:
        SettingsError: if the file or the list of domains is missing or not of that form.
    """
    domains_path = path.with_name("clinc150_domains.json")
    try:
        data: dict[str, list[tuple[str, str]]] = json.loads(path.read_text(encoding="utf-8"))
        domains: dict[str, list[str]] = json.loads(domains_path.read_text(encoding="utf-8"))
        splits: dict[str, list[Query]] = {name: [Query(*row) for row in rows] for name, rows in data.items()}
        late = set(domains[list(domains)[-1]])
        early = {name: [q for q in splits[name] if q.label not in late] for name in ("train", "val", "test")}
        novel = [q for name in ("train", "val", "test") for q in splits[name] if q.label in late]
        outside = [q for name in ("oos_train", "oos_val", "oos_test") for q in splits[name]]
    except (OSError, ValueError, TypeError, KeyError, IndexError) as error:
        msg = (
            f"--data {path} must be CLINC150's data_full.json with its domains in {domains_path.name} beside it, "
            f"and reading them failed: {type(error).__name__}: {error}"
        )
        raise SettingsError(msg) from error
    return QueryPool(early["train"], early["val"], early["val"] + early["test"], novel, outside)


def draw(rng: random.Random, pool: QueryPool, *, drifted: bool, novel_share: float, outside_share: float) -> Query:
    """One query of the traffic, with replacement; after the onset some are novel and some out of scope."""
    dice = rng.random() if drifted else 1.0
    if dice < novel_share:
        return rng.choice(pool.novel)
    if dice < novel_share + outside_share:
        return rng.choice(pool.out_of_scope)
    return rng.choice(pool.usual)


def _fill(rng: random.Random, template: str, slots: Mapping[str, Any]) -> str:
    text = re.sub(r"\{(\w+)\}", lambda found: rng.choice(slots[found.group(1)]), template)
    return " ".join(text.split())
