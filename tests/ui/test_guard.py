"""Only this machine's own pages are answered."""

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from posestudio.ui.guard import Guard, refusal


@pytest.fixture
def client() -> TestClient:
    app = FastAPI()
    app.add_middleware(Guard)

    @app.api_route("/x", methods=["GET", "POST"])
    def x() -> str:
        return "yes"

    return TestClient(app, base_url="http://127.0.0.1:7860")


@pytest.mark.parametrize("host", ["127.0.0.1:7860", "localhost:1", "[::1]:7860", "127.0.0.1"])
def test_loopback_names_pass(host):
    assert refusal(host, None, None, "GET") is None
    assert refusal(host, f"http://{host}", "same-origin", "POST") is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "",
        "localhost@evil.example",
        "[",
        "192.168.0.2:7860",
    ],
)
def test_other_hosts_are_refused(host):
    assert refusal(host, None, None, "GET") is not None


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "http://127.0.0.1:9999", "http://localhost:7860"]
)
def test_other_sites_are_refused(client, origin):
    assert client.post("/x", headers={"Origin": origin}).status_code == 403
    assert client.get("/x", headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_without_an_origin_may_only_link(client, site):
    def asked(method: str, mode: str | None) -> int:
        headers = {"Sec-Fetch-Site": site} | ({"Sec-Fetch-Mode": mode} if mode else {})
        return client.request(method, "/x", headers=headers).status_code

    assert asked("GET", "navigate") == 200
    assert [asked("POST", mode) for mode in (None, "navigate", "no-cors")] == [403, 403, 403]
    assert [asked("GET", mode) for mode in (None, "no-cors", "cors")] == [403, 403, 403]
    assert refusal("127.0.0.1", None, site, None, "websocket") is not None


@pytest.mark.parametrize("site", ["same-origin", "none"])
@pytest.mark.parametrize("mode", ["no-cors", "cors", "navigate"])
def test_own_pages_and_typed_addresses_pass(client, site, mode):
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
    assert client.get("/x", headers=headers).status_code == 200
    assert client.get("/x").status_code == 200, "curl sends none of these"


def test_answers_carry_the_careful_headers(client):
    headers = client.get("/x", headers={"Origin": "http://127.0.0.1:7860"}).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    assert "http" not in headers["content-security-policy"]
    assert "access-control-allow-origin" not in headers
