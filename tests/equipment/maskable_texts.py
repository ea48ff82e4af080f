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
    *(
        "4111111111111111",
        "4111 1111 1111 1111",
        "4111-1111",
        "3782 822463 10005",
        "411111111111111",
        "2222.",
        "\u00a0",
    ),
    *("DE89370400440532013000", "GB82 WEST 1234 5698 7654 32", "de89 3704", "0044 0532 0130 00", "NO93", "86011117947"),
    *(
        "+49 30 1234567",
        "+1 (555) 010-9999",
        "0049",
        "030/1234567",
        "06 12 34 56 78",
        "06.12.2024",
        "(",
        ")",
        "+",
        "00",
    ),
    *(
        "555-123-4567",
        "555.123.4567",
        "phone",
        "Tel.",
        "Phone number: ",
        '"phone": ',
        "call me at ",
        "5551234567",
        "x12",
    ),
    *("192.0.2.1", "1.2.3.4", "192.", "2001:db8::8a2e:370:7334", "fe80::1", "::", "::ffff:", "1:2:3:4:5:6:7:8", "db8"),
    *(
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----END RSA PRIVATE KEY-----",
        "MIIEpAIBAAKCAQEA+/",
        "xoxb-123456789012-aB3",
    ),
    *("npm_" + "aB3x" * 9, "rk_live_" + "aB3x" * 5, "abc8Q~" + "aB3_" * 8, "aB3+" * 10 + "aB3=", "aB3/" * 21 + "aB=="),
    *("\\r", "\\b", "\\t", "AIza" + "aB3_x" * 7, "SG." + "aB" * 11 + "." + "aB3" * 14 + "x", "hf_" + "aB3" * 10),
)

maskable_texts = st.lists(
    st.one_of(st.sampled_from(PIECES), st.text(st.characters(exclude_categories=["Cs"]), max_size=4)), max_size=14
).map("".join)

_values = st.recursive(
    st.one_of(
        maskable_texts,
        st.integers(),
        st.sampled_from((4111111111111111, -4111111111111111, 5551234567)),
        st.floats(allow_nan=False, allow_infinity=False),
        st.booleans(),
        st.none(),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.one_of(maskable_texts, st.sampled_from(("password", "api_key", "input", "secret", "phone", "Tel"))),
            inner,
        ),
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
