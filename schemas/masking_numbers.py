r"""The rules for numbers of people: payment cards, bank accounts (IBAN), telephones, IP addresses. Pure.

Payment cards and IBANs must have the right check digits. A number without separators that stands where JSON has a value
becomes 0, which is still JSON; every other match holds what no number of JSON does, or lies in a text.

Limits: a telephone number without ``+`` or ``00`` is known by a common national form or by a word before it, since ten
digits alone are as well the number of an order.
"""

from pegel.schemas.masking_rule import (
    AFTER_ESCAPE,
    BLANK,
    HARD_SPACE,
    NUMBER_END,
    NUMBER_START,
    QUOTE,
    Checksum,
    MaskingRule,
    RuleFamily,
)

# Seven digits that lie close together: no card, account or telephone number has fewer.
_SIX_MORE = rf"(?:(?:[^0-9A-Za-z]{{0,3}}|{HARD_SPACE})[0-9]){{6}}"
_SEVEN_DIGITS = f"[0-9]{_SIX_MORE}"
_SPACE = f"(?:[ .-]|{HARD_SPACE})"

# ISO/IEC 7812: the first digit of banks is 2 to 6, and RuPay's 81 and 82. Times in milliseconds begin with 1.
_CARD_HEAD = "(?=[2-68])(?!8[03-9])"
_CARD_HINT = rf"[0-9](?:(?:[ .-]|{HARD_SPACE})?[0-9]){{12}}"
_CARD_DIGITS = "[0-9]{13,19}"
_CARD_GROUPS = (
    f"[0-9]{{4}}{_SPACE}(?:[0-9]{{4}}{_SPACE}[0-9]{{4}}{_SPACE}[0-9]{{4}}(?:{_SPACE}[0-9]{{1,3}})?"
    f"|[0-9]{{6}}{_SPACE}[0-9]{{4,5}})"
)
_IN_JSON_BEFORE = r'(?:(?<=[,\[-])|(?<=[,\[][ \t\r\n])|(?<=":)|(?<=":[ \t\r\n])|(?<=[ \t\r\n]{2}))'
_IN_JSON_AFTER = r"(?=[ \t\r\n]*+[,}\]])"

# The registry of IBANs: how many characters come after the country and its check digits.
_IBAN_REST = {
    11: "NO",
    12: "BE BI",
    14: "DK FI FK FO GL NL SD",
    15: "MK SI",
    16: "AT BA EE KZ LT LU MN XK",
    17: "CH CR HR LI LV",
    18: "BG BH DE GB GE IE ME RS VA",
    19: "AE GI IL IQ OM SO TL",
    20: "AD CZ ES MD PK RO SA SE SK TN VG",
    21: "LY PT ST",
    22: "IS TR",
    23: "DJ FR GR IT MC MR SM",
    24: "AL AZ BY CY DO EG GT HN HU LB NI PL SV",
    25: "BR PS QA UA",
    26: "JO KW MU YE",
    27: "MT SC",
    28: "LC",
    29: "RU",
}


_IBAN_HINT = rf"[0-9](?<=[A-Za-z]{{2}}[0-9])[0-9](?:[^0-9A-Za-z]|{HARD_SPACE})?[0-9A-Za-z]{{4}}"


def _either_case(country: str) -> str:
    return "".join(f"[{letter}{letter.lower()}]" for letter in country)


def _iban(rest: int, countries: str) -> str:
    names = "|".join(_either_case(country) for country in countries.split())
    return f"(?:{names})[0-9]{{2}}(?:{_SPACE}?[0-9A-Za-z]){{{rest}}}"


_IBAN = "|".join(_iban(rest, countries) for rest, countries in _IBAN_REST.items())

_GAP = f"(?: ?[./()-]{{1,2}} ?| |{HARD_SPACE})"
_DIGITS = f"(?:{_GAP}?[0-9])"
# A day, which would else pass for a number with its trunk prefix; a number goes on in pairs where a day ends.
_DAY = "[0-3][0-9][./ -][01][0-9](?:[./ -](?:19|20)[0-9]{2}(?![0-9])|[./-][0-9]{2}(?![0-9./-]))"
# What comes after a day, a time or a number that is masked already is a part of it.
_START = rf"{NUMBER_START}(?<![0-9\]][./-])"
_EXTENSION = "(?: ?(?:x|ext[.]?) ?[0-9]{1,5})?"
_TRUNK = f"(?!{_DAY})0[1-9]{_DIGITS}{{7,10}}"
_PHONES = {
    "international": rf"(?<![+])[+][1-9]{_DIGITS}{{7,14}}{_EXTENSION}",
    "area in brackets": r"\([0-9]{2,5}\) ?-?(?:[0-9]{6,8}|[0-9]{3,5}[ -][0-9]{3,5}|[0-9]{2,4}[ -][0-9]{2}[ -][0-9]{2})"
    + _EXTENSION,
}
_BARE_PHONES = {
    "international, dialled": f"00[1-9]{_DIGITS}{{8,13}}",
    "with a trunk prefix": f"{_TRUNK}(?:{_GAP}{_TRUNK}){{0,3}}",
    "North American": (
        r"(?:1[ .-]?)?(?:\([2-9][0-9]{2}\) ?-?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[ .-][0-9]{4}" + _EXTENSION
    ),
    "three and pairs": "[6-9][0-9]{2} [0-9]{2} [0-9]{2} [0-9]{2}",
    "three and fours": "1[3-9][0-9][ -][0-9]{4}[ -][0-9]{4}",
}
_E_ACUTE = r"(?:\u00e9|\\u00e9)"
# The first three signs of every name or saying, for a search that looks at few places more closely.
_NAME_BEGINS = r"(?=[TtPpMmCcFfHhWwRrNn][eEaAoOhHuU\u00e9\u00f3\\][lLoObBvVxXaAfmnu])"
_PHONE_NAME = (
    f"(?:(?<![A-Za-z])|(?<=[a-z])(?=[TPMF])|{AFTER_ESCAPE})"
    f"(?:[Tt]el(?:e(?:ph|f)on[eo]?|{_E_ACUTE}fono)?|[Tt]{_E_ACUTE}l(?:{_E_ACUTE}phone)?|TEL|[Pp]hone|PHONE|[Mm]obile?"
    r"|[Mm][o\u00f3]vil|[Cc]ell|[Ff]ax|FAX|[Hh]andy|[Ww]hats[Aa]pp|[Rr]ufnummer)"
)
_SAID = "(?:[Cc]all|[Rr]each|[Tt]ext) (?:me|us) (?:at|on)|[Nn]umber is|[Nn]ummer (?:ist|lautet)"
_AFTER_NAME = r"(?:[ _-]?(?:[Nn]umber|[Nn]o|[Nn]r|[Nn]ummer))?"

# A number without quotes that is the value of a key: what stands for a number in a text would not be JSON there.
_NO_NUMBER_OF_JSON = rf"""(?![ .:=#"'\\]{{0,7}}"{BLANK}:{BLANK}[0-9(])"""

_IPV4_HINT = "[.][0-9]{1,3}[.][0-9]"
_IPV6_HINT = ":[0-9A-Fa-f]{0,4}:"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})"
_IPV4 = f"{_BYTE}(?:[.]{_BYTE}){{3}}"
_NO_VERSION = "(?<!ersion )(?<!elease )(?<!ection )(?<!hapter )"
_GROUP = "[0-9A-Fa-f]{1,4}"
# Compressed forms need a group of three: 1::2 and ::2 are slices of a list in Python.
_LONG_GROUP = "(?=[0-9A-Fa-f:]{0,36}[0-9A-Fa-f]{3})(?=[A-Fa-f:]{0,36}[0-9])"
_IPV6 = (
    f"(?:{_GROUP}(?::{_GROUP}){{7}}|{_LONG_GROUP}(?:{_GROUP}(?::{_GROUP}){{0,6}})?::"
    f"(?:(?:{_GROUP}:){{0,6}}(?:{_IPV4}|{_GROUP}))?)"
)

_RULES = (
    MaskingRule(
        "IBAN",
        _IBAN_HINT,
        rf"(?=[A-Za-z]{{2}}[0-9]{{2}}){NUMBER_START}(?<![0-9A-Za-z\]]-)(?:{_IBAN}){NUMBER_END}",
        "[iban]",
        Checksum.MOD_97,
    ),
    MaskingRule(
        "payment card as a number of JSON",
        "[0-9]{13}",
        f"{_CARD_HEAD}{_IN_JSON_BEFORE}{_CARD_DIGITS}{_IN_JSON_AFTER}",
        "0",
        Checksum.LUHN,
    ),
    MaskingRule(
        "payment card",
        _CARD_HINT,
        f"{_CARD_HEAD}{NUMBER_START}(?:{_CARD_GROUPS}|{_CARD_DIGITS}){NUMBER_END}",
        "[card]",
        Checksum.LUHN,
    ),
    MaskingRule(
        "IPv6 address",
        _IPV6_HINT,
        rf"(?=[0-9A-Fa-f:])(?:(?<![0-9A-Za-z:.\\])|{AFTER_ESCAPE}){_IPV6}(?![0-9A-Za-z:]|[.][0-9])",
        "[ip]",
    ),
    MaskingRule(
        "IPv4 address",
        _IPV4_HINT,
        f"(?=[0-9]){NUMBER_START}{_NO_VERSION}{_IPV4}{NUMBER_END}",
        "[ip]",
    ),
    MaskingRule(
        "telephone number as a number of JSON",
        f'"{BLANK}:{BLANK}[1-9][0-9]{{6}}',
        f"{_NAME_BEGINS}({_PHONE_NAME}{_AFTER_NAME}[ .:=#']{{0,4}}{QUOTE}{BLANK}:{BLANK})"
        "[1-9][0-9]{6,14}(?![0-9.eE])",
        "$10",
    ),
    MaskingRule(
        "telephone number by its form",
        _SEVEN_DIGITS,
        f"(?=[+(0-9])(?:{'|'.join(_PHONES.values())}|{_START}(?:{'|'.join(_BARE_PHONES.values())})){NUMBER_END}",
        "[phone]",
    ),
    MaskingRule(
        "telephone number by a word before it",
        _SEVEN_DIGITS,
        rf"""{_NAME_BEGINS}((?:{_PHONE_NAME}{_AFTER_NAME}|{_SAID}){_NO_NUMBER_OF_JSON}[ .:=#"'\\]{{1,8}})"""
        f"[(]?[0-9]{_DIGITS}{{6,14}}{NUMBER_END}",
        "$1[phone]",
    ),
)

NUMBER_FAMILY = RuleFamily(
    f"[0-9:](?:(?<=[A-Za-z]{{2}}[0-9])[0-9]|{_IPV4_HINT}|(?<=:)[0-9A-Fa-f]{{0,4}}:|(?<=[0-9]){_SIX_MORE})",
    _RULES,
)
