"""What somebody can do at once about a start that failed: links of the failure page beside its sentence. Pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Remedy:
    """`form`: what "#" on the choice page picks there ("home=none"); nothing is started by it. `do`: an action of
    `servers_actions` on this server, by a button. `servers`: the list of one's servers."""

    title: str
    form: str = ""
    do: str = ""
    servers: bool = False


_AGAIN = Remedy("Try the same again", do="start")
_BACK = Remedy("Bring it back", do="start")
_NEW = Remedy("Start a new one", do="start")
_NO_HOME = Remedy("Start without my home", form="home=none")
_REGION = Remedy("Choose another region", form="js2-region-terms")
_NEXT = Remedy("Let it take the next if this is full", form="fallback=yes")
_SERVERS = Remedy("See your servers", servers=True)

_FOR = {
    "capacity": (_NEXT, _REGION, _AGAIN),
    "quota": (_NEXT, _REGION, _AGAIN),
    "unreachable": (_REGION, _AGAIN),
    "home-busy": (_SERVERS, _NO_HOME),
    "home-slow": (_AGAIN, _NO_HOME),
    "home-missing": (_NO_HOME,),
    "home-elsewhere": (_REGION, _NO_HOME),
    "home-broken": (_NO_HOME,),
    "home-unreadable": (_NO_HOME,),
    "home-quota": (_NO_HOME,),
    "home-refused": (_AGAIN, _NO_HOME),
    "limit": (_SERVERS,),
    "line-full": (_NEXT, _AGAIN),
    "line-slow": (_NEXT, _AGAIN),
    "no-return": (_NEW,),
    "shelved": (_BACK,),
}


def remedies(failure_name: str) -> tuple[Remedy, ...]:
    """What to offer beside "Choose again", which always is."""
    return _FOR.get(failure_name, ())
