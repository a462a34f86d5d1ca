"""The services of the rig: what each runs, in which order of families, and how to tell that it is up."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from tests.openstack.rig.layout import Guests, Layout, Port
from tests.openstack.rig.processes import Processes, listens

NURSERY = Path(__file__).parent / "inside" / "nursery.py"
UP_WITHIN_S = 240
NAMES = ("services", "cinder-scheduler", "cinder-volume")


@dataclass(frozen=True, slots=True)
class Service:
    """One process. With a port it is an API, `module:application` under waitress with so many threads as workers;
    without, its module's `main` runs.
    """

    name: str
    module: str
    argv: tuple[str, ...]
    output: str
    environment: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    workers: int = 8


@dataclass(frozen=True, slots=True)
class Family:
    """Services that share imports. `threads`: it has to be told to use threads, not green ones. `after_port`: they
    sign in as they start, so this port has to listen before; they import meanwhile.
    """

    services: tuple[Service, ...]
    imports: tuple[str, ...] = ()
    threads: bool = False
    after_port: int = 0


def families(layout: Layout) -> tuple[Family, ...]:
    """Those that a server's creation waits for come first."""
    return (_keystone(layout), _nova(layout), _neutron(layout), _placement(layout), _glance(layout), _cinder(layout))


def warm_up(layout: Layout, processes: Processes, without: Sequence[str] = ()) -> None:
    """Begin with what needs no tables yet: the imports of all services, or of all but some."""
    wanted = [
        replace(family, services=tuple(each for each in family.services if each.name not in without))
        for family in families(layout)
    ]
    plan = layout.setting("services.json")
    plan.write_text(json.dumps([asdict(family) for family in wanted], indent=1))
    processes.start("services", [layout.program("python"), NURSERY, plan, _go(layout)], environment(layout))


def start(layout: Layout, processes: Processes) -> None:
    """What was warmed up; returns when they are on their way."""
    _go(layout).touch()
    # Cinder's other two use green threads, which have to be there before the first import.
    for name in NAMES[1:]:
        argv = [layout.program(name), "--config-file", layout.setting("cinder.conf")]
        processes.start(name, argv, environment(layout))


def _go(layout: Layout) -> Path:
    return layout.run / "go"


def wait(processes: Processes, *ports: int) -> None:
    for port in ports:
        processes.ready("services", lambda port=port: listens(port), UP_WITHIN_S)  # type: ignore[misc]


def environment(layout: Layout) -> dict[str, str]:
    """Ours, without what the services would take for their own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    return kept | {"PATH": f"{layout.venv}/bin:{kept.get('PATH', '/usr/bin:/bin')}", "PYTHONWARNINGS": "ignore"}


def _api(layout: Layout, name: str, module: str, port: int, *, workers: int = 8, files: Sequence[str] = ()) -> Service:
    """`files` for the services that would look for more in their folder than the rig has to say."""
    project = name.partition("-")[0]
    variable = f"OS_{project.upper()}_CONFIG"
    return Service(
        name=name,
        module=module,
        # The name of a program, as Apache's module would give it.
        argv=(f"{project}-api",),
        output=f"{layout.logs}/{name}.out",
        environment={f"{variable}_DIR": str(layout.settings), f"{variable}_FILES": ";".join(files)},
        port=layout.port(port),
        workers=workers,
    )


def _program(layout: Layout, name: str, module: str) -> Service:
    argv = (name, "--config-file", f"{layout.settings}/{name.partition('-')[0]}.conf")
    return Service(name, module, argv, f"{layout.logs}/{name}.out")


def _keystone(layout: Layout) -> Family:
    return Family(
        (_api(layout, "keystone", "keystone.wsgi.api", Port.KEYSTONE),), ("keystone.server.flask.application",)
    )


def _placement(layout: Layout) -> Family:
    return Family((_api(layout, "placement", "placement.wsgi.api", Port.PLACEMENT),), ("placement.deploy",))


def _glance(layout: Layout) -> Family:
    return Family((_api(layout, "glance", "glance.wsgi.api", Port.GLANCE),), ("glance.api.v2.router",))


def _neutron(layout: Layout) -> Family:
    files = ("neutron.conf", "ml2_conf.ini")
    return Family(
        (_api(layout, "neutron", "neutron.wsgi.api", Port.NEUTRON, workers=12, files=files),),
        ("neutron.plugins.ml2.plugin",),
    )


def _nova(layout: Layout) -> Family:
    # The first is asked for the pipelines, the others for options.
    files = (f"{layout.venv}/etc/nova/api-paste.ini", "nova.conf")
    services = (
        _api(layout, "nova-api", "nova.wsgi.osapi_compute", Port.NOVA, workers=16, files=files),
        _program(layout, "nova-conductor", "nova.cmd.conductor"),
        _program(layout, "nova-scheduler", "nova.cmd.scheduler"),
        _program(layout, "nova-compute", "nova.cmd.compute"),
    )
    if layout.guests is Guests.QEMU:
        services += (_api(layout, "nova-metadata", "nova.wsgi.metadata", Port.METADATA, workers=4, files=files),)
    common = ("nova.conf", "nova.compute.manager", "nova.conductor.manager", "nova.scheduler.manager")
    return Family(
        services, (*common, "nova.api.openstack.compute.routes"), threads=True, after_port=layout.port(Port.KEYSTONE)
    )


def _cinder(layout: Layout) -> Family:
    # It has no variable for its folder, and does read its arguments.
    argv = ("cinder-api", "--config-file", f"{layout.settings}/cinder.conf")
    return Family((replace(_api(layout, "cinder", "cinder.wsgi.api", Port.CINDER), argv=argv, environment={}),))
