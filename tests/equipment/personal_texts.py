"""A seeded corpus of texts that hold something to mask, and of texts that only look like it.

What is planted is made here by its own rules (check digits too), not by those of the product.
"""

import base64
import ipaddress
import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_DIGITS, _UPPER = string.digits, string.ascii_uppercase
_ALNUM = string.ascii_letters + _DIGITS


@dataclass(frozen=True, slots=True)
class Planted:
    """A text and what was planted in it."""

    kind: str
    value: str
    text: str

    def leaks(self, masked: str) -> bool:
        """Whether the value is left, or a piece of five characters or more of it."""
        pieces = "".join(c if c.isalnum() else " " for c in self.value).split()
        return self.value in masked or any(piece in masked for piece in pieces if len(piece) >= 5)


_CARDS = (
    *(("4", 16), ("4", 16), ("4", 13), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2720", 16), ("34", 15)),
    *(("37", 15), ("36", 14), ("38", 14), ("6011", 16), ("65", 16), ("3528", 16), ("62", 16), ("62", 19), ("50", 16)),
)
_ACCOUNTS = {
    **{"DE": "n18", "GB": "a4n14", "FR": "n10c11n2", "NL": "a4n10", "ES": "n20", "IT": "a1n10c12", "CH": "n5c12"},
    **{"AT": "n16", "BE": "n12", "PL": "n24", "SE": "n20", "NO": "n11", "DK": "n14", "PT": "n21", "IE": "a4n14"},
    **{"FI": "n14", "CZ": "n20", "MT": "a4n5c18", "TR": "n6c16", "SA": "n2c18", "AE": "n19", "LU": "n3c13"},
    **{"GR": "n7c16", "HU": "n24", "RO": "a4c16", "UA": "n6c19", "BR": "n23a1c1", "KZ": "n3c13", "HR": "n17"},
}
_PHONES = (
    *("+49 30 #######", "+49 (0)17# #######", "030 2######", "017#/#######", "017#-#######", "(030) #######"),
    *("0049 17# #######", "+4917########", "030 / ### ## ##", "+44 20 7### ####", "020 7### ####", "07### ######"),
    *("(0161) ### ####", "(2##) 2##-####", "2##-2##-####", "2##.2##.####", "2## 2## ####", "+1 2## 2## ####"),
    *("+12##2######", "1-8##-2##-####", "(2##) 2##-#### x12", "06 ## ## ## ##", "06.##.##.##.##", "+33 6 ## ## ## ##"),
    *("06########", "+34 6## ## ## ##", "6## ## ## ##", "+39 3## #######", "06-########", "+31 6 ########"),
    *("079 ### ## ##", "+41 79 ### ## ##", "0664 #######", "+48 ### ### ###", "070-### ## ##", "090-####-####"),
    *("138 #### ####", "+86 138 #### ####", "+91 98### #####", "(11) 9####-####", "+55 11 9####-####"),
    *("04## ### ###", "(02) #### ####", "03-####-####", "+7 (495) ###-##-##", "8 (495) ###-##-##"),
)
_NAMED_PHONES = ("Tel. {}", "phone: {}", "call me at {}", "Handy: {}", "my number is {}", "WhatsApp {}", "teléfono {}")
_CONTEXTS = (
    *("{}", "my details are {} thanks", "Please use {}, it is mine.", "({})", "<{}>", "it is {}!", "is it {}?"),
    *("Meine Daten sind {} danke", "voici mes données : {} merci", "mis datos son {} gracias", "ecco i miei dati: {}."),
    *("мои данные {} спасибо", "私の情報は{}です", "我的信息是{}谢谢", "1;{};x", "a,{},b", "first\n{}\nlast", "\t{}\t"),
    *("- {}\n- other", '"{}"', "'{}'", "see|{}|here", "{}; 2 of them", "am 3. Mai: {}", "data={}", "[{}]", "*{}*"),
)
_DOMAINS = ("example.org", "mail.example.co.uk", "müller.de", "xn--mller-kva.example", "a-b.example.com", "почта.рф")
_LOCALS = ("ada", "ada.lovelace", "ada+news", "a_l", "jörg", "o'brien", "иван", "a.b-c", "ADA", "x1")


def planted_texts(seed: int, each: int) -> Iterator[Planted]:
    """``each`` texts of each class: e-mail address, phone, IBAN, card, IP address, secret; a third as JSON."""
    rng = random.Random(seed)
    for kind, make in _KINDS.items():
        for i in range(each):
            # What is secret in it stands between these, if it is not the whole.
            before, _, rest = made.rpartition("«") if "«" in (made := make(rng)) else ("", "", made)
            value, _, after = rest.partition("»")
            text = rng.choice(_CONTEXTS).format(f"{before}{value}{after}")
            if i % 3 == 1:
                text = json.dumps(
                    {"n": i, "input": text}, ensure_ascii=rng.random() < 0.5, indent=rng.choice((None, 1))
                )
            yield Planted(kind, value, text)


def harmless_texts(seed: int, count: int) -> Iterator[str]:
    """Texts with numbers of orders, dates, times, versions, amounts, hashes and ids, and nothing to mask."""
    rng = random.Random(seed)
    for _ in range(count):
        yield rng.choice(_SENTENCES).format(rng.choice(_HARMLESS)(rng))


def _card(rng: random.Random) -> str:
    head, length = rng.choice(_CARDS)
    digits = head + _some(rng, _DIGITS, length - 1 - len(head))
    weighted = [int(d) * (2 - i % 2) for i, d in enumerate(reversed(digits))]
    digits += str(-sum(w // 10 + w % 10 for w in weighted) % 10)
    between = rng.choice(("", " ", "-", " ", "", ".", "\u00a0"))
    if length in {14, 15}:
        return between.join((digits[:4], digits[4:10], digits[10:]))
    if length == 13:
        return digits
    return between.join(digits[i : i + 4] for i in range(0, length, 4))


def _iban(rng: random.Random) -> str:
    country, form = rng.choice(sorted(_ACCOUNTS.items()))
    account = ""
    for part in form.replace("n", " n").replace("a", " a").replace("c", " c").split():
        signs = {"n": _DIGITS, "a": _UPPER, "c": _DIGITS * 4 + _UPPER}[part[0]]
        account += _some(rng, signs, int(part[1:]))
    value = 0
    for sign in f"{account}{country}00":
        value = (value * 10 + int(sign) if sign.isdigit() else value * 100 + ord(sign) - 55) % 97
    written = f"{country}{98 - value:02}{account}"
    if rng.random() < 0.1:
        written = written.lower()
    between = rng.choice(("", " ", " ", "-", "\u00a0"))
    return between.join(written[i : i + 4] for i in range(0, len(written), 4))


def _phone(rng: random.Random) -> str:
    return "".join(rng.choice(_DIGITS[2:]) if c == "#" else c for c in rng.choice(_PHONES))


def _named_phone(rng: random.Random) -> str:
    return rng.choice(_NAMED_PHONES).format(f"«{rng.choice('123456789')}{_some(rng, _DIGITS, rng.randint(7, 10))}»")


def _address(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return str(ipaddress.IPv4Address(rng.randrange(2**24, 2**32)))
    zeros = rng.choice((0, 0, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFFFFFF)) << rng.choice((16, 32, 48))
    address = ipaddress.IPv6Address((0x2001_0DB8 << 96 | rng.getrandbits(96)) & ~zeros)
    return rng.choice((address.compressed, address.exploded, address.compressed.upper()))


def _email(rng: random.Random) -> str:
    return f"{rng.choice(_LOCALS)}{rng.choice(('', str(rng.randrange(99))))}@{rng.choice(_DOMAINS)}"


def _key(rng: random.Random, size: int) -> str:
    return base64.b64encode(rng.randbytes(size)).decode()


_SECRETS: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"sk-proj-{_some(r, _ALNUM + '_-', 60)}7a",
    lambda r: f"sk-{_some(r, _ALNUM, 47)}1",
    lambda r: f"AKIA{_some(r, _UPPER + '234567', 16)}",
    lambda r: f"gh{r.choice('pousr')}_{_some(r, _ALNUM, 36)}",
    lambda r: f"github_pat_{_some(r, _ALNUM, 22)}_{_some(r, _ALNUM, 59)}",
    lambda r: f"glpat-{_some(r, _ALNUM + '_', 20)}",
    lambda r: f"dapi{_some(r, '0123456789abcdef', 32)}",
    lambda r: f"xoxb-{_some(r, _DIGITS, 12)}-{_some(r, _DIGITS, 12)}-{_some(r, _ALNUM, 24)}",
    lambda r: f"AIza{_some(r, _ALNUM + '_', 35)}",
    lambda r: f"hf_{_some(r, _ALNUM, 34)}",
    lambda r: f"npm_{_some(r, _ALNUM, 36)}",
    lambda r: f"sk_live_{_some(r, _ALNUM, 24)}",
    lambda r: f"{_some(r, _ALNUM, 3)}8Q~{_some(r, _ALNUM + '_.-', 33)}{r.choice(_ALNUM)}",
    lambda r: _key(r, 64),
    lambda r: _key(r, 32),
    lambda r: f"{_some(r, _ALNUM, 52)}JQQJ99{_some(r, _ALNUM, 26)}",
    lambda r: ".".join(("eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9", "eyJ" + _some(r, _ALNUM, 40), _some(r, _ALNUM, 43))),
    lambda r: f"https://n.blob.core.windows.net/c?sv=2024-11-04&sig=«{_key(r, 32)[:-1]}%3D»",
    lambda r: f"Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=«{_key(r, 32)}»",
    lambda r: f"DefaultEndpointsProtocol=https;AccountName=n;AccountKey=«{_key(r, 64)}»",
    lambda r: f"{r.choice(('password', 'Passwd', 'API_KEY', 'client_secret'))}=«{_some(r, _ALNUM, 12)}»",
    lambda r: f"Authorization: Bearer «{_some(r, _ALNUM, 39)}5»",
    lambda r: f"-----BEGIN PRIVATE KEY-----\n«{_key(r, 48)}\n{_key(r, 21)}»\n-----END PRIVATE KEY-----",
)


def _secret(rng: random.Random) -> str:
    return rng.choice(_SECRETS)(rng)


_KINDS: dict[str, Callable[[random.Random], str]] = {
    **{"email": _email, "phone": _phone, "named phone": _named_phone, "iban": _iban, "card": _card},
    **{"ip": _address, "secret": _secret},
}

_SENTENCES = ("{}", "what about {} please", "I got {} and wonder", "Bestellung {} ist da", "{} and {{}}", "see {}, ok?")
_HARMLESS: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"order {r.randrange(10**5, 10**10)}",
    lambda r: f"invoice 2026-{r.randrange(10**5):05}",
    lambda r: f"{r.randrange(1, 29):02}.{r.randrange(1, 13):02}.{r.randrange(1990, 2030)}",
    lambda r: f"{r.randrange(1, 29):02}/{r.randrange(1, 13):02}/{r.randrange(1990, 2030)} at {r.randrange(24)}:30",
    lambda r: (
        f"2026-{r.randrange(1, 13):02}-{r.randrange(1, 29):02}T{r.randrange(24):02}:00:00.{r.randrange(10**6):06}Z"
    ),
    lambda r: (
        f"from {r.randrange(1, 29):02}.{r.randrange(1, 13):02}. to {r.randrange(1, 29):02}.{r.randrange(1, 13):02}."
    ),
    lambda r: f"{r.randrange(24):02}:{r.randrange(60):02} to {r.randrange(24):02}:{r.randrange(60):02}",
    lambda r: f"version {r.randrange(20)}.{r.randrange(20)}.{r.randrange(200)}.{r.randrange(9)}",
    lambda r: f"v{r.randrange(20)}.{r.randrange(20)}.{r.randrange(200)}",
    lambda r: f"{r.randrange(10**6):,}.{r.randrange(100):02} EUR",
    lambda r: f"{r.random()}",
    lambda r: f"{r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}",
    lambda r: f"time {r.randrange(1_500_000_000_000, 1_900_000_000_000)}",
    lambda r: f"{r.getrandbits(160):040x}",
    lambda r: f"id {r.getrandbits(128):032x}",
    lambda r: (
        f"{r.getrandbits(32):08x}-{r.getrandbits(16):04x}-4{r.getrandbits(12):03x}-{r.getrandbits(16):04x}-"
        f"{r.getrandbits(48):012x}"
    ),
    lambda r: f"room {r.randrange(100, 999)} on floor {r.randrange(30)}",
    lambda r: f"{r.randrange(1, 10)} + {r.randrange(10, 99)} = {r.randrange(100)}",
    lambda r: f"{r.randrange(10**4, 10**5)} Berlin, No. {r.randrange(200)}",
    lambda r: f"flight LH{r.randrange(100, 2000)}, seat {r.randrange(40)}C",
    lambda r: f"std::vector<int> x({r.randrange(100)}); y[::2]",
    lambda r: f"ratio {r.randrange(10)}:{r.randrange(10)}, {r.randrange(100)}%",
    lambda r: f"https://example.org/a/{r.randrange(10**6)}?page={r.randrange(100)}",
)


def _some(rng: random.Random, signs: str, count: int) -> str:
    return "".join(rng.choices(signs, k=count))
