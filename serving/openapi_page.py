"""The OpenAPI description as a plain page: no script and nothing from another host, so it also opens offline. Pure."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#f4f4f4;padding:1rem;overflow:auto}"
)


def render_openapi_page(description: Mapping[str, Any]) -> str:
    """List the paths with what they take and give.

    Args:
        description: an OpenAPI 3.1 document.
    """
    info = description["info"]
    parts = [
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        '<p>The same for programs: <a href="openapi.json">openapi.json</a></p>',
    ]
    for path, methods in description["paths"].items():
        for method, operation in methods.items():
            answers = {code: answer["description"] for code, answer in operation.get("responses", {}).items()}
            parts += [
                f"<h2><code>{escape(method.upper())} {escape(path)}</code></h2>",
                f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>",
                f"<ul>{''.join(f'<li>{escape(c)}: {escape(text)}</li>' for c, text in answers.items())}</ul>",
            ]
    schemas = description.get("components", {}).get("schemas", {})
    parts += [f"<h3>{escape(n)}</h3><pre>{escape(json.dumps(s, indent=2))}</pre>" for n, s in schemas.items()]
    head = f"<meta charset=utf-8><title>{escape(info['title'])}</title><style>{_STYLE}</style>"
    return f"<!doctype html><html lang=en><head>{head}</head><body>{''.join(parts)}</body></html>"
