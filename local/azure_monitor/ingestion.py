"""What the Logs Ingestion API refuses, and how it says so. Pure.

Stricter than the service in one point: a column that the stream does not declare is refused here and dropped there, so
that a renamed column is noticed.
"""

import json
import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NoReturn

MAX_BYTES = 1_048_576
"""For one call, compressed and uncompressed."""
API_VERSION = "2023-01-01"

_PATH = re.compile(r"/dataCollectionRules/([^/]+)/streams/([^/]+)")
_INTEGERS = {"int": 2**31, "long": 2**63}


class IngestionError(Exception):
    """The service answers with this status and error code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(status, code, message)
        self.status, self.code, self.message = status, code, message

    @property
    def body(self) -> dict[str, Any]:
        """The answer's body."""
        return {"error": {"code": self.code, "message": self.message}}


@dataclass(frozen=True, slots=True)
class Stream:
    """A data collection rule with one stream: who may write, and which columns it declares."""

    rule_id: str
    name: str
    token: str
    columns: Mapping[str, str]

    def check_call(self, path: str, query: Mapping[str, str], headers: Mapping[str, str]) -> None:
        """Check everything but the body.

        Raises:
            IngestionError: with the status that the service answers.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise IngestionError(404, "NotFound", "no such path")
        if query.get("api-version") != API_VERSION:
            raise IngestionError(400, "InvalidApiVersion", f"api-version has to be {API_VERSION}")
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not given:
            raise IngestionError(401, "Unauthorized", "no bearer token")
        if given != self.token:
            raise IngestionError(403, "OperationFailed", "the token has no right to use the data collection rule")
        if match[1] != self.rule_id:
            raise IngestionError(404, "NotFound", f"data collection rule with immutable id {match[1]!r} not found")
        if match[2] != self.name:
            raise IngestionError(404, "NotFound", f"stream {match[2]!r} is not in the data collection rule")
        if headers.get("content-type", "").split(";")[0].strip().lower() != "application/json":
            raise IngestionError(415, "UnsupportedMediaType", "Content-Type has to be application/json")

    def read(self, body: bytes, encoding: str) -> list[dict[str, Any]]:
        """The rows in a body.

        Raises:
            IngestionError: if it is too large, no JSON array of objects, or against the declaration.
        """
        if len(body) > MAX_BYTES:
            raise IngestionError(413, "ContentLengthLimitExceeded", f"more than {MAX_BYTES} bytes")
        try:
            rows = json.loads(_plain(body, encoding), parse_constant=_no_constant)
        except ValueError as error:
            raise IngestionError(400, "InvalidPayload", f"the body is not valid JSON: {error}") from error
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise IngestionError(400, "InvalidPayload", "the body has to be an array of objects")
        for row in rows:
            self._check_row(row)
        return rows

    def _check_row(self, row: Mapping[str, Any]) -> None:
        unknown = sorted(set(row) - set(self.columns))
        if unknown:
            raise IngestionError(400, "InvalidPayload", f"the stream declares no column {unknown[0]!r}")
        if row.get("TimeGenerated") is None:
            raise IngestionError(400, "InvalidPayload", "TimeGenerated is missing")
        for name, value in row.items():
            if value is not None and not _fits(value, self.columns[name]):
                raise IngestionError(400, "InvalidPayload", f"column {name!r} has to be of type {self.columns[name]}")


def _plain(body: bytes, encoding: str) -> bytes:
    if not encoding or encoding == "identity":
        return body
    if encoding != "gzip":
        raise IngestionError(415, "UnsupportedMediaType", f"Content-Encoding {encoding!r} is not known")
    unzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        plain = unzip.decompress(body, MAX_BYTES + 1)
    except zlib.error as error:
        raise IngestionError(400, "InvalidPayload", "the body is not valid gzip") from error
    if len(plain) > MAX_BYTES:
        raise IngestionError(413, "ContentLengthLimitExceeded", f"more than {MAX_BYTES} bytes uncompressed")
    return plain


def _no_constant(name: str) -> NoReturn:
    msg = f"{name} is not JSON"
    raise ValueError(msg)


def _fits(value: Any, kind: str) -> bool:
    if kind in _INTEGERS:
        limit = _INTEGERS[kind]
        return isinstance(value, int) and not isinstance(value, bool) and -limit <= value < limit
    if kind == "real":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "datetime":
        return isinstance(value, str) and _is_time(value)
    return kind == "dynamic" or isinstance(value, str)


def _is_time(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
