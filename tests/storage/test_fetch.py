"""Addresses that strangers give us: where they may lead, whatever they look like and whatever they become."""

import io
import ipaddress
import socket
from typing import Any

import pytest

from apps.errors import AppError, Refused, Unavailable
from apps.storage.addresses import checksum_checked, url_checked
from workers import fetch
from workers.fetch import fetch_piece, fetch_text, is_allowed

INSIDE = [
    "127.0.0.1",
    "127.8.9.10",
    "0.0.0.0",  # noqa: S104  # an address to refuse
    "10.1.2.3",
    "172.16.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "198.18.0.1",
    "224.0.0.1",
    "255.255.255.255",
    "240.0.0.1",
    "::",
    "::1",
    "fe80::1",
    "fc00::1",
    "fd00:ec2::254",
    "ff02::1",
    "2001:db8::1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:10.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2001:0:7f00:1::",
]


@pytest.mark.parametrize("address", INSIDE)
def test_inside_addresses(address: str) -> None:
    assert not is_allowed(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["151.101.2.132", "2a04:4e42::644", "64:ff9b::9765:284"])
def test_public_addresses(address: str) -> None:
    assert is_allowed(ipaddress.ip_address(address))


SPELLINGS = [
    "https://localhost/x",
    "https://127.0.0.1/x",
    "https://127.1/x",
    "https://2130706433/x",
    "https://0x7f000001/x",
    "https://0x7f.1/x",
    "https://0177.0.0.1/x",
    "https://0/x",
    "https://[::1]/x",
    "https://[::ffff:127.0.0.1]/x",
    "https://[::ffff:7f00:1]/x",
    "https://169.254.169.254/latest/meta-data",
    "https://2852039166/latest",
]


@pytest.mark.parametrize("url", SPELLINGS)
def test_every_spelling_of_loopback_is_refused(url: str) -> None:
    with pytest.raises((Refused, Unavailable)) as refusal:
        fetch_text(url, seconds=5)
    assert refusal.value.code in ("url.address", "url.unknown_host")


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("http://example.org/x", "url.scheme"),
        ("file:///etc/passwd", "url.scheme"),
        ("ftp://example.org/x", "url.scheme"),
        ("gopher://example.org/x", "url.scheme"),
        ("json:{}", "url.scheme"),
        ("", "url.scheme"),
        ("https://", "url.invalid"),
        ("https://user:secret@example.org/x", "url.credentials"),
        ("https://user@example.org/x", "url.credentials"),
        ("https://example.org:22/x", "url.port"),
        ("https://example.org:99999/x", "url.invalid"),
        ("https://exa mple.org/x", "url.invalid"),
        ("https://example.org/x\r\nHost: other", "url.invalid"),
        ("https://example.org\\@127.0.0.1/", "url.invalid"),
        ("https://ex\u0430mple.org/x", "url.invalid"),
    ],
)
def test_addresses_that_are_not_fetched(url: str, code: str) -> None:
    with pytest.raises(Refused) as refusal:
        url_checked("url", url)
    assert refusal.value.code == code


def test_one_bad_address_among_good_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(2, 1, 6, "", (address, 443)) for address in ("151.101.2.132", "127.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_a, **_k: found)
    with pytest.raises(Refused):
        fetch.resolve("both.example", 443)


def test_the_name_is_resolved_once(vendor: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that says something else the second time is never asked a second time."""
    asked = []
    real = socket.getaddrinfo

    def once(host: Any, *more: Any, **keywords: Any) -> Any:
        asked.append(host)
        return real("127.0.0.1", *more, **keywords) if host == "rebind.example" else real(host, *more, **keywords)

    monkeypatch.setattr(socket, "getaddrinfo", once)
    vendor.files["/x"] = b"here"
    assert fetch_text(f"http://rebind.example:{vendor.port}/x", seconds=5) == "here"
    assert asked.count("rebind.example") == 1
    assert set(asked) <= {"rebind.example", "127.0.0.1"}


def test_a_redirect_is_checked_anew(vendor: Any, settings: Any) -> None:
    settings.IMPORT_NETWORKS = ["127.0.0.1/32"]
    vendor.files["/x"] = b"here"
    vendor.redirects["/good"] = "/x"
    assert fetch_text(vendor.url("/good"), seconds=5) == "here"
    for target, code in [
        (f"http://127.0.0.2:{vendor.port}/x", "url.address"),
        ("http://127.0.0.1:22/x", "url.port"),
        ("file:///etc/passwd", "url.scheme"),
        (f"http://a:b@127.0.0.1:{vendor.port}/x", "url.credentials"),
        ("/bad", "url.redirects"),
    ]:
        vendor.redirects["/bad"] = target
        with pytest.raises(AppError) as refusal:
            fetch_text(vendor.url("/bad"), seconds=5)
        assert refusal.value.code == code, target


def test_the_default_refuses_the_test_server(vendor: Any, settings: Any) -> None:
    settings.IMPORT_NETWORKS = []
    with pytest.raises(Refused) as refusal:
        fetch_text(vendor.url("/x"), seconds=5)
    assert refusal.value.code == "url.address"
    assert vendor.asked == []


def test_pieces(vendor: Any) -> None:
    vendor.files["/x"] = bytes(range(256)) * 10
    target = io.BytesIO()
    found = fetch_piece(vendor.url("/x"), target, offset=0, tag="", seconds=5, most=10000)
    assert (found.offset, found.total, found.ended, found.tag) == (2560, 2560, True, '"1"')
    target = io.BytesIO(vendor.files["/x"][:100] + b"rubbish")
    found = fetch_piece(vendor.url("/x"), target, offset=100, tag='"1"', seconds=5, most=10000)
    assert target.getvalue() == vendor.files["/x"]
    assert vendor.asked[-1][1] == "bytes=100-"
    vendor.ranges = False
    found = fetch_piece(vendor.url("/x"), target, offset=100, tag='"1"', seconds=5, most=10000)
    assert (target.getvalue(), found.offset) == (vendor.files["/x"], 2560)


def test_limits(vendor: Any) -> None:
    vendor.files["/x"] = bytes(5000)
    with pytest.raises(Refused) as refusal:
        fetch_piece(vendor.url("/x"), io.BytesIO(), offset=0, tag="", seconds=5, most=4999)
    assert refusal.value.code == "image.too_large"
    vendor.most = 100
    with pytest.raises(Unavailable) as cut:
        fetch_piece(vendor.url("/x"), io.BytesIO(), offset=0, tag="", seconds=5, most=10000)
    assert cut.value.code == "url.cut_off"
    with pytest.raises(Unavailable) as missing:
        fetch_piece(vendor.url("/y"), io.BytesIO(), offset=0, tag="", seconds=5, most=10000)
    assert missing.value.code == "url.status"


@pytest.mark.parametrize("checksum", ["", "md5:" + "0" * 32, "sha256:" + "0" * 63, "0" * 64, "sha512:" + "g" * 128])
def test_checksums_that_are_none(checksum: str) -> None:
    with pytest.raises(Refused):
        checksum_checked(checksum)
