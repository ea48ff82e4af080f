import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from equipment.watched_evening import HOSTILE
from fastapi.testclient import TestClient

import pegel.dashboard
from pegel.conf.settings import Settings
from pegel.dashboard.app import create_app
from pegel.tables.delta import DeltaTables

PATHS = ("/", "/sections", "/api/overview", "/runbook/drift.md", "/health", "/static/page.js", "/nothing-here")
STATIC = Path(pegel.dashboard.__file__).parent / "static"


class Tags(HTMLParser):
    """Every tag with its attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def fingerprint(root: str) -> dict[str, str]:
    files = [path for path in Path(root).rglob("*") if path.is_file()]
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.mark.parametrize("path", PATHS)
def test_every_answer_forbids_what_is_not_its_own(client_of, path):
    headers = client_of("proving").get(path).headers

    assert headers["content-security-policy"].startswith("default-src 'self';")
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


@pytest.mark.parametrize("stage", ["quiet", "opened", "confirmed", "proving", "closed"])
def test_page_shows_its_verdict_at_every_stage(client_of, overview_of, stage):
    page = client_of(stage).get("/")

    assert page.status_code == 200
    assert overview_of(stage).headline.title in Tags(page.text).text


def test_page_needs_nothing_from_elsewhere(client_of):
    page = client_of("proving").get("/").text
    sources = [
        value for _, attributes in Tags(page).tags for name, value in attributes.items() if name in {"src", "href"}
    ]

    assert sources
    assert all(source.startswith("/") and not source.startswith("//") for source in sources)
    for file in STATIC.iterdir():
        urls = set(re.findall(r"https?://[^\s\"')]+", file.read_text(encoding="utf-8")))
        assert urls <= {"http://www.w3.org/2000/svg"}, file.name


def test_page_has_no_script_and_no_style_of_its_own(client_of):
    for tag, attributes in Tags(client_of("proving", hostile=True).get("/").text).tags:
        assert tag != "style"
        assert "style" not in attributes
        assert tag != "script" or attributes["src"].startswith("/static/")
        assert not any(name.startswith("on") for name in attributes)


def test_hostile_names_are_shown_as_text(client_of):
    page = client_of("proving", hostile=True).get("/").text
    parsed = Tags(page)

    assert HOSTILE in parsed.text
    assert "<script>alert" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert [attributes for tag, attributes in parsed.tags if tag == "img"] == [
        {"src": "/static/gauge.svg", "alt": "", "width": "22", "height": "22"}
    ]


def test_hostile_runbook_is_no_link(client_of):
    page = client_of("proving", hostile=True).get("/").text
    links = [attributes["href"] for tag, attributes in Tags(page).tags if tag == "a"]

    assert set(links) == {"/", "/runbook/drift.md"}


def test_the_body_of_a_dead_letter_is_never_sent(client_of):
    client = client_of("proving")

    assert HOSTILE not in client.get("/").text
    assert "alert(" not in client.get("/api/overview").text


def test_overview_is_strict_json_with_the_page_in_it(client_of):
    answer = client_of("proving", hostile=True).get("/api/overview")

    content = json.loads(answer.text, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
    assert answer.headers["content-type"] == "application/json"
    assert set(content) >= {"headline", "models", "incidents", "pipeline", "sinks", "changes", "charts", "as_of"}
    assert content["pipeline"]["flows"][0]["gap"] == 0


def test_overview_that_has_not_changed_is_not_sent_again(client_of):
    client = client_of("proving")
    tag = client.get("/api/overview").headers["etag"]

    again = client.get("/api/overview", headers={"If-None-Match": tag})

    assert (again.status_code, again.content) == (304, b"")


def test_overview_takes_a_window_and_a_model(client_of):
    client = client_of("proving", hostile=True)

    charts = client.get("/api/overview", params={"window": 60, "model": "assistant"}).json()["charts"]
    other = client.get("/api/overview", params={"model": "'; DROP TABLE t; --" * 40}).json()["charts"]

    assert (charts["window_s"], charts["model"]) == (60, "assistant")
    assert other["model"] in other["models"]
    assert client.get("/api/overview", params={"window": "x"}).status_code == 422


def test_empty_tables_say_what_to_do_and_are_not_made(empty_client, empty_root):
    page = Tags(empty_client.get("/").text).text

    assert "Nothing has been measured yet" in page
    assert "make demo" in page
    assert empty_client.get("/api/overview").status_code == 200
    assert empty_client.get("/health").json()["status"] == "ok"
    assert not empty_root.exists()


def test_reading_pages_writes_nothing(client_of, tables_of):
    root = Path(tables_of("closed").uri("batches")).parent
    before = fingerprint(str(root))

    for path in PATHS:
        client_of("closed").get(path)

    assert fingerprint(str(root)) == before


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete"])
def test_no_method_but_get_is_taken(client_of, method):
    client = client_of("proving")

    assert {client.request(method, path).status_code for path in ("/", "/sections", "/api/overview")} == {405}


def test_another_name_for_this_machine_gets_nothing(client_of):
    answer = client_of("proving").get("/", headers={"Host": "evil.example"})

    assert answer.status_code == 400


@pytest.mark.parametrize("host", ["localhost:9000", "127.0.0.1:8712"])
def test_names_of_loopback_are_answered(client_of, host):
    assert client_of("proving").get("/health", headers={"Host": host}).status_code == 200


def test_every_runbook_page_of_the_shipped_policies_is_there(client_of):
    from pegel.conf.loading import packaged

    client = client_of("proving")
    pages = re.findall(r"runbook: (\S+)", packaged("policy.yml") + packaged("demo-policy.yml"))

    assert pages
    for page in pages:
        answer = client.get(f"/runbook/{page}")
        assert answer.status_code == 200
        assert "<h1>" in answer.text


@pytest.mark.parametrize("name", ["nothing.md", "__init__.py", "..%2fsetup.py", "..%2F..%2Fpyproject.toml", HOSTILE])
def test_only_runbook_pages_are_read(client_of, name):
    answer = client_of("proving").get(f"/runbook/{name}")

    assert answer.status_code == 404
    assert "<script>" not in answer.text


def test_unreadable_tables_are_told_and_not_hidden(tmp_path, settings, now):
    log = tmp_path / "batches" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json").write_text("this is no log\n")
    client = TestClient(create_app(DeltaTables(str(tmp_path)), settings, lambda: now), base_url="http://localhost")

    assert "The tables cannot be read" in client.get("/").text
    assert client.get("/health").status_code == 503


def test_the_script_of_plotly_is_served_from_here(client_of):
    answer = client_of("proving").get("/static/plotly.min.js")

    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/javascript")
    assert "plotly.js v" in answer.text[:200]


def test_refresh_comes_from_the_settings(tables_of, now):
    settings = Settings.model_validate({"dashboard": {"refresh_seconds": 7.5}})
    client = TestClient(create_app(tables_of("quiet"), settings, lambda: now), base_url="http://localhost")

    assert 'data-refresh-ms="7500"' in client.get("/").text
