r"""The rules for e-mail addresses, passwords, keys and tokens. Pure.

A match begins and ends outside of the escapes of JSON (``\n``, ``\u00e9``).
"""

from pegel.schemas.masking_rule import AFTER_ESCAPE, BLANK, ESCAPE, HEX, QUOTE, MaskingRule, RuleFamily

# A match must not begin inside an escape of JSON: not at the n of \n, nor at one of the four digits of \u00e9.
_NOT_IN_ESCAPE = rf"(?<!\\)(?<!\\u)(?<!\\u{HEX})(?<!\\u{HEX}{{2}})(?<!\\u{HEX}{{3}})"
# A token begins where a word begins; after an escape too, since \nsk-… is a token at the start of a line.
_TOKEN = "A-Za-z0-9_-"
_WORD_START = rf"(?:(?<![\\{_TOKEN}])|{AFTER_ESCAPE})"
_TOKEN_END = f"(?![{_TOKEN}])"
_HAS_DIGIT = "(?=[A-Za-z_.~+/=%-]{0,256}[0-9])"

# Latin with its accents, Greek and Cyrillic (U+00C0 to U+052F), plain or as an escape; scripts without spaces between
# words are left out, or the address would take the sentence before it along.
_LETTERS = "A-Za-z0-9À-ԯ"
_LETTER_ESCAPE = rf"\\u0[0-5]{HEX}{{2}}"
_LOCAL_RUN = f"[{_LETTERS}._+'-]{{0,64}}+"
_ADDRESS = f"{_LOCAL_RUN}(?:{_LETTER_ESCAPE}{_LOCAL_RUN}){{0,16}}+(?:@|%40)"
_DOMAIN = rf"(?:[{_LETTERS}.-]|{_LETTER_ESCAPE}){{1,190}}\.(?:[A-Za-zÀ-ԯ]|{_LETTER_ESCAPE}){{2,24}}+"

# Written small, Capital or LARGE: a flag would mean more in Python, where the long s and the Kelvin sign fold too.
_SECRET_NAME = (
    "(?=[AaPpSs])(?:(?:SharedAccess|Account)Key|[Aa][Pp][Ii][_ -]?(?:[Kk]ey|KEY)"
    "|[Pp]ass(?:[Ww]ord|wd)|PASS(?:WORD|WD)|[Ss]ecret|SECRET|[Aa]ccess(?:_t|T)oken|ACCESS_TOKEN)"
)
_BARE_VALUE = r"""[^ \t\r\n"'\\,;&<>{}]"""
_QUOTED_VALUE = r'[^"\\\r\n]'

_AT = "[@%]"
_FILL = r"""['"\\ \t]"""
_ASSIGNED = f"[=:](?:(?<=[dDnNtTyY][=:])|(?<=[dDnNtTyY]{_FILL}[=:])|(?<={_FILL}{{2}}[=:]))"
"""What gives a name a value; before it the last letter of a secret's name, or signs that may lie between."""
# Each holds a digit, or begins as keys of AWS do; of twenty characters ten lie before or after it.
_LONG_WORD = "[0-9I](?:(?<=[^ ]{10}[0-9])|(?<=[0-9])[^ ]{10}|(?<=A[KS]I)A)"


def _run_of(characters: str) -> str:
    r"""One or more of these characters or of the escapes ``\uXXXX``, and not what a masked text already holds there."""
    some = rf"{characters}*+"
    return rf"(?!\[secret\])(?={characters}|{ESCAPE}){some}(?:{ESCAPE}{some}){{0,64}}+"


TOKENS = {
    "API key of OpenAI and others": f"sk-{_HAS_DIGIT}[{_TOKEN}]{{20,}}+",
    "key of Stripe": "[rs]k_(?:live|test)_[0-9A-Za-z]{16,}+",
    "GitHub token": "g(?:h[oprsu]_|ithub_pat_)[A-Za-z0-9_]{22,}+",
    "GitLab token": f"glpat-[{_TOKEN}]{{20,}}+",
    "Databricks token": f"dapi[0-9a-f]{{32}}(?:-[0-9])?{_TOKEN_END}",
    "JSON web token": rf"eyJ(?=[.{_TOKEN}]{{17}})[{_TOKEN}]{{8,}}+(?:\.[{_TOKEN}]*+){{1,4}}+",
    "Slack token": "xox[abeoprs]-[A-Za-z0-9-]{16,}+",
    "Slack webhook": "hooks[.]slack[.]com/services/[A-Z0-9]{6,14}/[A-Z0-9]{6,14}/[A-Za-z0-9]{16,40}+",
    "Google API key": f"AIza[{_TOKEN}]{{35}}{_TOKEN_END}",
    "Hugging Face token": "hf_[A-Za-z0-9]{30,}+",
    "npm token": f"npm_[A-Za-z0-9]{{36}}{_TOKEN_END}",
    "SendGrid key": rf"SG\.[{_TOKEN}]{{22}}\.[{_TOKEN}]{{43}}{_TOKEN_END}",
}
"""Tokens that are known by how they begin; they share one pattern, which looks at each place of a text once."""
_AWS = f"A(?:KI|SI)A[0-9A-Z]{{16}}{_TOKEN_END}"
_HEADS = "(?=[srAgdexhnS][kKShilayoIfpG])"
# The client secrets of Entra have a sign of their own after three letters.
_ENTRA_SIGN = "A-Za-z0-9_.~-"
_ENTRA = (
    rf"(?:(?<![\\{_ENTRA_SIGN}])|{AFTER_ESCAPE})"
    f"[{_ENTRA_SIGN}]{{3}}[0-9]Q~[{_ENTRA_SIGN}]{{31,34}}+"
)
_BASE64_START = rf"(?:(?<![A-Za-z0-9+/\\])|{AFTER_ESCAPE})"
# 64 and 32 bytes in base64, which keys of storage, Cosmos DB, Service Bus and Event Hubs are.
_BASE64_KEY = f"{_BASE64_START}{_HAS_DIGIT}(?:[A-Za-z0-9+/]{{86}}==|[A-Za-z0-9+/]{{43}}=(?!=))"
_AI_KEY = f"{_BASE64_START}[A-Za-z0-9]{{52}}JQQJ9[A-Za-z0-9]{{27}}(?![A-Za-z0-9])"
_PEM_KIND = "(?:[A-Z]{2,9} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
_PEM_BODY = r"(?:[A-Za-z0-9+/=:, \t\r\n]|-(?!-)|\\[nrt])*+"
_PEM = f"-----BEGIN {_PEM_KIND}" + r"(?=[A-Za-z+/:, \t\r\n\\-]{0,256}[0-9=])" + f"{_PEM_BODY}(?:-----END {_PEM_KIND})?"

_ASSIGNED_SECRETS = (
    MaskingRule(
        "secret in quotes",
        _ASSIGNED,
        # Both quotes are escaped alike, or the second would be the end of a text of JSON, whose brackets follow.
        rf"({_SECRET_NAME}(\\{{0,7}})\"{BLANK}:{BLANK}\2\"){_run_of(_QUOTED_VALUE)}",
        "$1[secret]",
    ),
    # Still a number, as brackets without quotes would not be JSON. There is no group 10, so $10 is group 1 and a 0.
    MaskingRule("secret number", _ASSIGNED, rf"({_SECRET_NAME}{QUOTE}{BLANK}:{BLANK})[0-9.eE+-]++", "$10"),
    # A quote may also be the end of a string of JSON, where a colon or a bracket can follow: they begin no value.
    MaskingRule(
        "secret assigned",
        _ASSIGNED,
        rf"""({_SECRET_NAME}'?{BLANK}[=:]{BLANK}["']?)(?![:\]]){_run_of(_BARE_VALUE)}""",
        "$1[secret]",
    ),
)
_LONG_SECRETS = (
    MaskingRule(
        "bearer token",
        "[Bb](?:earer|EARER) ",
        rf"((?:[Bb]earer|BEARER) {{1,4}}){_HAS_DIGIT}[A-Za-z0-9._~+/=-]{{20,}}+",
        "$1[secret]",
    ),
    MaskingRule(
        "signature of a SAS",
        "sig=",
        f"(?=sig=)({_WORD_START}sig=){_HAS_DIGIT}[A-Za-z0-9%+/=]{{20,}}+",
        "$1[secret]",
    ),
    MaskingRule(
        "token", _LONG_WORD, f"{_HEADS}{_WORD_START}(?:{_AWS}|{_HAS_DIGIT}(?:{'|'.join(TOKENS.values())}))", "[secret]"
    ),
    MaskingRule("Entra client secret", "Q~", _ENTRA, "[secret]"),
    MaskingRule("key in base64", "=(?<=[A-Za-z0-9+/]{43}=)", _BASE64_KEY, "[secret]"),
    MaskingRule("key of Azure AI", "JQQJ9", _AI_KEY, "[secret]"),
)

_EMAIL = MaskingRule("e-mail address", _AT, rf"(?={_ADDRESS}){_NOT_IN_ESCAPE}{_ADDRESS}{_DOMAIN}", "[email]")
_PRIVATE_KEY = MaskingRule("private key", "PRIVATE KEY", _PEM, "[secret]")

SECRET_FAMILIES = (
    RuleFamily(_AT, (_EMAIL,)),
    # Before the rules of assigned secrets, which would take its first word only.
    RuleFamily(_PRIVATE_KEY.hint, (_PRIVATE_KEY,)),
    RuleFamily(_ASSIGNED, _ASSIGNED_SECRETS),
    RuleFamily(_LONG_WORD, _LONG_SECRETS),
)
