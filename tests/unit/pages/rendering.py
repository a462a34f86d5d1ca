"""Renders our pages as the hub would, and reads the HTML back as a list of elements."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from jupyterhub._data import DATA_FILES_PATH

import js2spawner

ROOT = Path(js2spawner.__file__).parent
TEMPLATES = ROOT / "templates"
STATIC = ROOT / "static"
HOSTILE = """<script>alert("1")</script>'\"><img src=x onerror=alert(2)>"""
_VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"})


@dataclass
class Element:
    """One element with its attributes and all the text inside it."""

    tag: str
    attributes: dict[str, str | None]
    text: str = ""
    inside: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> str:
        return self.attributes[name] or ""

    def has(self, name: str) -> bool:
        return name in self.attributes

    @property
    def classes(self) -> set[str]:
        return set((self.attributes.get("class") or "").split())


class Page(HTMLParser):
    """A rendered page; `unclosed` must be empty for well-formed markup."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.elements: list[Element] = []
        self._open: list[Element] = []
        self.feed(html)

    def all(self, tag: str = "", **attributes: str) -> list[Element]:
        return [
            element
            for element in self.elements
            if (not tag or element.tag == tag)
            and all(element.attributes.get(name.replace("_", "-")) == value for name, value in attributes.items())
        ]

    def one(self, tag: str = "", **attributes: str) -> Element:
        found = self.all(tag, **attributes)
        assert len(found) == 1, f"{len(found)} of {tag} {attributes}"
        return found[0]

    def by_id(self, id: str) -> Element:
        return self.one(id=id)

    @property
    def unclosed(self) -> list[str]:
        return [element.tag for element in self._open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs), inside=[parent.tag for parent in self._open])
        self.elements.append(element)
        if tag not in _VOID:
            self._open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if tag in _VOID:
            return
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        for element in self._open:
            element.text += data


@cache
def hub_environment() -> Environment:
    """The loader recipe and escaping of JupyterHub 6.1 with our directory as its `template_paths`."""
    stock = str(Path(DATA_FILES_PATH) / "templates")
    loader = ChoiceLoader(
        [PrefixLoader({"templates": FileSystemLoader([stock])}, "/"), FileSystemLoader([str(TEMPLATES), stock])]
    )
    return Environment(loader=loader, autoescape=True)


def user(name: str = "alice") -> SimpleNamespace:
    """As much of JupyterHub's User as its pages touch."""
    return SimpleNamespace(
        name=name,
        escaped_name=name,
        json_escaped_name=name,
        spawner=SimpleNamespace(options_form=True),
        server_url=lambda server="": f"/user/{name}/{server}",
        all_spawners=lambda include_default=True: [],
    )


def render(template: str, /, **context: Any) -> Page:
    """One page as the hub's handlers render it; `context` is what the page's own handler adds."""
    common: dict[str, Any] = {
        "base_url": "/hub/",
        "prefix": "/",
        "user": user(),
        "login_url": "/hub/login",
        "logout_url": "/hub/logout",
        "static_url": lambda path, **_: f"/hub/static/{path}",
        "version_hash": "1",
        "services": [],
        "parsed_scopes": {},
        "xsrf": "token",
        "xsrf_token": "token",
    }
    return Page(hub_environment().get_template(template).render(common | context))
