"""Bicep read by a real parser (tree-sitter's grammar): a template as plain data, and the faults that can be seen in it.

Literals become Python values; whatever has to be computed stays an :class:`Expression` with its text.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import tree_sitter_bicep
from tree_sitter import Language, Node, Parser

_PARSER = Parser(Language(tree_sitter_bicep.language()))

FUNCTIONS = frozenset(
    (
        *("array", "concat", "contains", "empty", "environment", "flatten", "guid", "json", "length", "map"),
        *("loadJsonContent", "loadTextContent", "resourceGroup", "resourceId", "string", "subscription"),
        *("subscriptionResourceId", "substring", "tenant", "toLower", "union", "uniqueString"),
        *("allowed", "description", "maxLength", "maxValue", "minLength", "minValue"),
    )
)
"""The functions and decorators of the language that Pegel's templates may use."""


@dataclass(frozen=True, slots=True)
class Expression:
    """What only a deployment can compute, as it is written."""

    text: str


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource: its type and version, its body, and the condition under which it is made; empty if always."""

    symbol: str
    kind: str
    version: str
    body: dict[str, Any]
    condition: str


@dataclass(frozen=True, slots=True)
class Module:
    """A use of another template: its file, what it is given, and under which condition; empty if always."""

    symbol: str
    path: str
    parameters: tuple[str, ...]
    condition: str


@dataclass(slots=True)
class Template:
    """One file."""

    faults: list[str] = field(default_factory=list)
    parameters: dict[str, bool] = field(default_factory=dict)
    """Name -> whether it has a default."""
    variables: dict[str, str] = field(default_factory=dict)
    resources: list[Resource] = field(default_factory=list)
    modules: list[Module] = field(default_factory=list)
    outputs: dict[str, str] = field(default_factory=dict)
    loaded: list[tuple[str, str]] = field(default_factory=list)
    """Function and path of every file that is loaded into the template."""


def read_template(file: Path) -> Template:
    """Read a file."""
    return parse_template(file.read_text(encoding="utf-8"))


def parse_template(text: str) -> Template:
    """Read a template.

    Its faults are what the parser does not understand, names that are used and not declared, and parameters and
    variables that are declared and not used.
    """
    root = _PARSER.parse(text.encode()).root_node
    template = Template()
    for node in root.named_children:
        _declare(node, template)
    template.faults += [f"line {node.start_point[0] + 1} is not understood" for node in _broken(root)]
    symbols = {resource.symbol for resource in template.resources} | {module.symbol for module in template.modules}
    declared = symbols | set(template.parameters) | set(template.variables)
    used = list(_used(root, frozenset()))
    template.faults += [
        f"line {node.start_point[0] + 1} uses {_text(node)!r}, which is not declared"
        for node in used
        if _text(node) not in declared | FUNCTIONS
    ]
    names = {_text(node) for node in used}
    template.faults += [
        f"{name!r} is declared and not used"
        for name in (*template.parameters, *template.variables)
        if name not in names
    ]
    return template


def _declare(node: Node, template: Template) -> None:
    parts = node.named_children
    match node.type:
        case "parameter_declaration":
            template.parameters[_text(parts[0])] = len(parts) > 2
        case "variable_declaration":
            template.variables[_text(parts[0])] = _text(parts[1])
        case "output_declaration":
            template.outputs[_text(parts[0])] = _text(parts[-1])
        case "resource_declaration":
            kind, _, version = str(_value(parts[1])).partition("@")
            body = _value(_object(parts[-1]))
            template.resources.append(Resource(_text(parts[0]), kind, version, body, _condition(parts[-1])))
        case "module_declaration":
            body = _value(_object(parts[-1]))
            given = tuple(body.get("params", {}))
            template.modules.append(Module(_text(parts[0]), str(_value(parts[1])), given, _condition(parts[-1])))
    template.loaded += [
        (_text(call.named_children[0]), str(_value(call.named_children[1].named_children[0])))
        for call in _all(node)
        if call.type == "call_expression" and _text(call.named_children[0]).startswith("load")
    ]


def _object(node: Node) -> Node:
    """The body of a declaration, whatever loop or condition stands around it."""
    return node if node.type == "object" else _object(node.named_children[-1])


def _condition(node: Node) -> str:
    """What stands behind the ``if`` of a declaration."""
    return next((_text(found.named_children[0]) for found in _all(node) if found.type == "if_statement"), "")


def _value(node: Node) -> Any:
    match node.type:
        case "object":
            pairs = [child.named_children for child in node.named_children if child.type == "object_property"]
            return {_key(key): _value(value) for key, value in pairs}
        case "array":
            return [_value(child) for child in node.named_children if child.type != "comment"]
        case "string" if not any(child.type == "interpolation" for child in node.named_children):
            return "".join(_text(child) for child in node.named_children)
        case "number":
            return int(_text(node))
        case "boolean":
            return _text(node) == "true"
    return Expression(_text(node))


def _key(node: Node) -> str:
    return _text(node).strip("'")


def _used(node: Node, local: frozenset[str]) -> Iterator[Node]:
    """Every name in an expression that is neither a key nor the variable of a loop or lambda around it."""
    children = node.named_children
    if node.type == "identifier":
        if _text(node) not in local:
            yield node
        return
    if node.type == "for_statement":
        local |= {_text(child) for child in _all(children[0])} | {_text(children[0])}
    elif node.type == "lambda_expression":
        local |= {_text(child) for child in children[:-1]}
    elif node.type in _DECLARATIONS or (node.type == "object_property" and children[0].type == "identifier"):
        children = children[1:]
    for child in children:
        yield from _used(child, local)


_DECLARATIONS = (
    "parameter_declaration",
    "variable_declaration",
    "output_declaration",
    "resource_declaration",
    "module_declaration",
    "target_scope_assignment",
)


def _broken(node: Node) -> Iterator[Node]:
    return (found for found in _all(node) if found.is_error or found.is_missing)


def _all(node: Node) -> Iterator[Node]:
    yield node
    for child in node.children:
        yield from _all(child)


def _text(node: Node) -> str:
    return node.text.decode() if node.text is not None else ""
