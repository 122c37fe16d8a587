"""Building and reading XML: text stays text, and what a host sends is read as if the host were hostile."""

import re
from collections.abc import Callable
from typing import Final

from lxml import etree

MAX_BYTES: Final = 8 * 1024 * 1024  # a network with 10,000 reservations is about 1 MiB
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_LINE_BREAKS: Final = re.compile("[\r\n\t\x0b\x0c\x1c-\x1e\x85\u2028\u2029]+")

Element = etree._Element


class MalformedXml(ValueError):
    """A host sent something we do not read."""


class ElementMaker:
    """`E.name("x", kind="y")` makes `<name kind="y">x</name>`. Text and attribute values are only ever
    escaped, never parsed.
    """

    def __init__(self, namespace: str = "", prefix: str = "") -> None:
        self._namespace = f"{{{namespace}}}" if namespace else ""
        self._prefixes = {prefix: namespace} if namespace else None

    def __getattr__(self, tag: str) -> Callable[..., Element]:
        def make(*children: Element | str, **attributes: str) -> Element:
            element = etree.Element(self._namespace + tag, nsmap=self._prefixes)
            for name, value in attributes.items():
                element.set(name, value)
            for child in children:
                if isinstance(child, str):
                    element.text = child
                else:
                    element.append(child)
            return element

        return make


E = ElementMaker()


def clean_line(text: str) -> str:
    """Any Unicode text as one line XML 1.0 can carry: what it cannot becomes U+FFFD, line breaks become a
    space.
    """
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", _LINE_BREAKS.sub(" ", text)).strip()


def render(root: Element) -> str:
    etree.indent(root, space="  ")
    return etree.tostring(root, encoding="unicode")


def parse(text: str) -> Element:
    """No DTD, no entities, no network, bounded size; the parser's own limits on depth stay in force."""
    if len(text) > MAX_BYTES:
        raise MalformedXml("the document is too large")
    parser = etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_blank_text=True,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        root = etree.fromstring(text.encode(), parser)
    except (etree.XMLSyntaxError, UnicodeEncodeError) as error:
        raise MalformedXml(str(error)) from error
    if root.getroottree().docinfo.internalDTD is not None:
        raise MalformedXml("a document type is not allowed")
    return root


def contains(actual: Element | None, wanted: Element) -> bool:
    """Whether `actual` says all that `wanted` says. libvirt adds defaults to what it is given; additions do
    not count.

    Children are compared as a set: each wanted child needs one that contains it.
    """
    if actual is None or actual.tag != wanted.tag:
        return False
    if any(actual.get(key) != value for key, value in wanted.attrib.items()):
        return False
    if len(wanted) == 0 and (wanted.text or "").strip() != (actual.text or "").strip():
        return False
    return all(any(contains(child, part) for child in actual) for part in wanted)


def text_of(root: Element, path: str) -> str:
    """The text of the first match, or an empty string."""
    return (root.findtext(path) or "").strip()


def number_of(root: Element, path: str) -> int:
    """The number in the first match; 0 where there is none or it is not one."""
    text = text_of(root, path)
    return int(text) if text.isascii() and text.isdigit() else 0
