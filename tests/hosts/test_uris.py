"""The three forms in which a host may be named. A libvirt URI can run programs (``promises.md``, M22)."""

import re
import string

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.errors import Refused
from apps.hosts.models import Host
from apps.hosts.uris import HostUri, parse_uri
from hypervisor.specs import HostAddress

GOOD = {
    "qemu:///system": HostUri(transport="local"),
    "qemu+ssh://root@h1/system": HostUri(transport="ssh", user="root", address="h1"),
    "qemu+ssh://cs_1@H1.Example.org:2222/system": HostUri(
        transport="ssh", user="cs_1", address="h1.example.org", port=2222
    ),
    "qemu+ssh://root@192.0.2.7/system": HostUri(transport="ssh", user="root", address="192.0.2.7"),
    "qemu+ssh://root@[2001:DB8::0:1]:22/system": HostUri(transport="ssh", user="root", address="2001:db8::1"),
    "qemu+tls://h1/system": HostUri(transport="tls", address="h1"),
    "qemu+tls://[::1]/system": HostUri(transport="tls", address="::1"),
    "qemu+tls://h1:16514/system": HostUri(transport="tls", address="h1"),
}

BAD = {
    "command": "qemu+ssh://root@h1/system?command=/tmp/x",
    "no_verify": "qemu+ssh://root@h1/system?no_verify=1",
    "netcat": "qemu+ssh://root@h1/system?netcat=/bin/x",
    "pkipath": "qemu+tls://h1/system?pkipath=/tmp",
    "empty query": "qemu+ssh://root@h1/system?",
    "fragment": "qemu+ssh://root@h1/system#x",
    "ext": "qemu+ext:///system?command=/x",
    "local with parameters": "qemu:///system?socket=/tmp/x",
    "session": "qemu:///session",
    "other driver": "test:///default",
    "tcp": "qemu+tcp://h1/system",
    "libssh": "qemu+libssh://root@h1/system",
    "upper case scheme": "QEMU+SSH://root@h1/system",
    "option as host": "qemu+ssh://root@-oProxyCommand=x/system",
    "option as user": "qemu+ssh://-oProxyCommand=x@h1/system",
    "option as short host": "qemu+ssh://root@-F/system",
    "label ends with a dash": "qemu+ssh://root@h1-/system",
    "two ats": "qemu+ssh://root@evil@h1/system",
    "encoded at": "qemu+ssh://root%40evil@h1/system",
    "password": "qemu+ssh://root:pw@h1/system",
    "no user": "qemu+ssh://h1/system",
    "empty user": "qemu+ssh://@h1/system",
    "tls with a user": "qemu+tls://root@h1/system",
    "tls with an empty user": "qemu+tls://@h1/system",
    "no host": "qemu+ssh://root@/system",
    "dots": "qemu+ssh://root@.../system",
    "space": "qemu+ssh://root@h 1/system",
    "semicolon": "qemu+ssh://root@h1;id/system",
    "backtick": "qemu+ssh://root@`id`/system",
    "dollar": "qemu+ssh://$(id)@h1/system",
    "slash in the user": "qemu+ssh://../x@h1/system",
    "line break at the end": "qemu+ssh://root@h1/system\n",
    "line break in the host": "qemu+ssh://root@h1\n-oX/system",
    "line break after local": "qemu:///system\n",
    "nul": "qemu+ssh://root@h1\0/system",
    "tab": "qemu+ssh://root@h1\t/system",
    "cyrillic": "qemu+ssh://root@h\u0456/system",
    "full width dot": "qemu+ssh://root@h1\uff0eorg/system",
    "arabic digits in the port": "qemu+ssh://root@h1:\u0662\u0662/system",
    "unicode user": "qemu+ssh://r\u00f6ot@h1/system",
    "right to left": "qemu+ssh://root@h1\u202e/system",
    "port 0": "qemu+tls://h1:0/system",
    "port too large": "qemu+tls://h1:65536/system",
    "port with a sign": "qemu+tls://h1:+22/system",
    "empty port": "qemu+tls://h1:/system",
    "IPv6 without brackets": "qemu+tls://2001:db8::1/system",
    "IPv6 with a zone": "qemu+tls://[fe80::1%eth0]/system",
    "no IPv6": "qemu+tls://[1:2:3]/system",
    "a name in brackets": "qemu+tls://[h1]/system",
    "bad IPv4": "qemu+tls://192.0.2.256/system",
    "short IPv4": "qemu+tls://127.1/system",
    "a number": "qemu+tls://2130706433/system",
    "other path": "qemu+tls://h1/session",
    "longer path": "qemu+tls://h1/system/x",
    "double slash": "qemu+tls://h1//system",
    "leading space": " qemu+tls://h1/system",
    "too long a label": f"qemu+tls://{'a' * 64}/system",
    "too long a name": f"qemu+tls://{'a.' * 130}b/system",
    "too long a user": f"qemu+ssh://{'a' * 33}@h1/system",
    "empty": "",
    "two": "qemu:///system qemu:///system",
}


@pytest.mark.parametrize("text", GOOD)
def test_the_three_forms(text: str) -> None:
    assert parse_uri(text) == GOOD[text]


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_nothing_else(text: str) -> None:
    with pytest.raises(Refused) as error:
        parse_uri(text)
    assert error.value.code == "host.uri"
    assert [wrong.field for wrong in error.value.errors] == ["uri"]


@settings(max_examples=500, deadline=None)
@given(
    st.one_of(
        st.text(max_size=60),
        st.from_regex(r"qemu\+(ssh|tls)://.{0,40}/system.{0,10}", fullmatch=True),
        st.builds("qemu+ssh://{}@{}/system".format, st.text(max_size=8), st.text(max_size=20)),
    )
)
def test_whatever_is_accepted_is_harmless_and_says_the_same_again(text: str) -> None:
    """Accepted parts are plain, suit the hypervisor's own checks, and spell a URI that is parsed to themselves."""
    try:
        parts = parse_uri(text)
    except Refused:
        return
    plain = set(string.ascii_lowercase + string.digits + ".-_:")
    assert set(parts.address) | set(parts.user) <= plain
    assert not parts.address.startswith("-")
    assert not parts.user.startswith("-")
    HostAddress(transport=parts.transport, host=parts.address, user=parts.user, port=parts.port)  # type: ignore[arg-type]
    host = Host(transport=parts.transport, address=parts.address, user=parts.user, port=parts.port)
    assert parse_uri(host.uri) == parts


def test_control_a_pattern_that_is_only_searched_lets_a_command_in() -> None:
    from apps.hosts import uris

    assert uris.PATTERN.fullmatch(BAD["command"]) is None
    assert re.match(uris.PATTERN, BAD["command"])
