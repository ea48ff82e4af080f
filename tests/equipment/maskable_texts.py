"""Texts made of what masking looks for, of what surrounds it, and of what almost looks like it."""

import json

from hypothesis import strategies as st

PIECES = (
    *("@", "%40", "a@b.org", "@b.org", "ada.l+x@mail.example.org", "jörg@müller.de", ".", ".co", "x.org", "-", "_"),
    *(
        "password",
        "Password=",
        "passwd:",
        "api_key=",
        '"api-key"',
        "secret",
        "access_token=",
        "SharedAccessKey=",
        "sig=",
    ),
    *("SharedAccessKey=", "sig=", "sig=" + "aB3%2F" * 5, "c2VjcmV0+/=", "hunter2", "[secret]", "[email]", "[", "]"),
    *("sk-", "sk-" + "aB3_" * 6, "AKIA", "AKIAIOSFODNN7EXAMPLE", "ghp_" + "aB3x" * 9, "github_pat_" + "aB3x" * 6),
    *("dapi" + "0a" * 16, "dapi", "eyJ", "eyJhbGciOiJSUzI1NiJ9", ".eyJzdWIiOiIxIn0", ".c2ln", "Bearer ", "bearer  "),
    *("abcdefghij0123456789KLMN", "=", ":", ": ", ' "', '"', "'", "\\", '\\"', ",", ";", "&", " ", "\n", "\t", "/"),
    *("\\n", "\\u00e9", "\\u5230", "\\u", "é", "到", "🙂", "\u0130", "\u017f", "\u212a", "\u2028", "0", "12.5", "-1e3"),
)

maskable_texts = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), max_size=14
).map("".join)

_values = st.recursive(
    st.one_of(
        maskable_texts, st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.booleans(), st.none()
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(maskable_texts, st.sampled_from(("password", "api_key", "input", "secret"))), inner),
    ),
    max_leaves=6,
)

maskable_documents = st.builds(
    lambda value, ascii_only, tight, nested: json.dumps(
        json.dumps(value) if nested else value,
        ensure_ascii=ascii_only,
        separators=(",", ":") if tight else (", ", ": "),
    ),
    _values,
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
"""Valid JSON of many writers: escaped or not, tight or not, JSON in JSON."""
