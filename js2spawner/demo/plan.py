"""The three children of a demo: what each runs, with which environment, and how to tell that it is ready. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from js2spawner.demo.children import ChildPlan
from js2spawner.demo.probes import http_probe
from js2spawner.demo.settings import REGIONS, DemoSettings

# Settings of another cloud, hub or proxy in the caller's environment would reach ours.
_KEPT_OUT = ("OS_", "JUPYTER", "CONFIGPROXY_")


@dataclass(frozen=True, slots=True)
class Files:
    """Where a demo keeps what, below its directory."""

    directory: Path

    @property
    def settings(self) -> Path:
        return self.directory / "demo.json"

    @property
    def lock(self) -> Path:
        return self.directory / "demo.lock"

    @property
    def password(self) -> Path:
        return self.directory / "password"

    @property
    def api_token(self) -> Path:
        return self.directory / "api-token"

    @property
    def hub(self) -> Path:
        return self.directory / "hub"

    @property
    def devcloud(self) -> Path:
        return self.directory / "devcloud"

    @property
    def clouds_yaml(self) -> Path:
        return self.devcloud / "clouds.yaml"

    @property
    def catalog(self) -> Path:
        """The catalog of a demo that has fewer regions than the project's own."""
        return self.directory / "catalog.yaml"

    @property
    def logs(self) -> Path:
        return self.directory / "log"


@dataclass(frozen=True, slots=True)
class Programs:
    """What the children run: this Python, a Node with the proxy's script, and the project's own tree."""

    python: str
    node: str
    proxy: Path
    root: Path


def catalog_of(root: Path) -> Path:
    return root / "hub_config" / "catalog.demo.yaml"


def with_regions(catalog: str, kept: Collection[str]) -> str:
    """A catalog's text without the regions that have other names in the cloud than these."""
    content = yaml.safe_load(catalog)
    regions = {name: entry for name, entry in content["regions"].items() if entry["region"] in kept}
    for profile in content["profiles"].values():
        if "regions" in profile:
            profile["regions"] = [name for name in profile["regions"] if name in regions]
    return yaml.safe_dump({**content, "regions": regions}, sort_keys=False, allow_unicode=True)


def plans(
    settings: DemoSettings, files: Files, programs: Programs, environment: Mapping[str, str]
) -> tuple[ChildPlan, ChildPlan, ChildPlan]:
    """The cloud, the proxy and the hub, in the order in which they start. `environment` is the caller's own."""
    kept = {name: value for name, value in environment.items() if not name.startswith(_KEPT_OUT)}
    beside_python = str(Path(programs.python).parent)
    kept |= {"PATH": f"{beside_python}:{kept.get('PATH', '/usr/bin:/bin')}", "PYTHONUNBUFFERED": "1"}
    return (
        _devcloud(settings, files, programs, kept),
        _proxy(settings, files, programs, kept),
        _hub(settings, files, programs, kept),
    )


def _devcloud(settings: DemoSettings, files: Files, programs: Programs, environment: dict[str, str]) -> ChildPlan:
    argv = [programs.python, "-m", "js2spawner.devcloud", "--port", str(settings.devcloud_port)]
    argv += ["--dir", str(files.devcloud), "--boot-seconds", f"{settings.boot_seconds:g}"]
    for region in REGIONS[: settings.regions]:
        argv += ["--region", region]
    # Its output is a log, and clouds.yaml holds the cloud's secrets.
    argv += ["--no-show"]
    return ChildPlan(
        name="embedded cloud",
        argv=tuple(argv),
        environment=environment,
        directory=files.directory,
        log=files.logs / "devcloud.log",
        healthy=http_probe(f"http://127.0.0.1:{settings.devcloud_port}/identity/v3"),
        healthy_within_s=60,
        # It powers every instance off, which gives each notebook its time to end.
        stop_within_s=60,
        leaves_work=True,
    )


def _proxy(settings: DemoSettings, files: Files, programs: Programs, environment: dict[str, str]) -> ChildPlan:
    hub = f"http://127.0.0.1:{settings.hub_port}"
    argv = [programs.node, str(programs.proxy), "--ip", "127.0.0.1", "--port", str(settings.port)]
    argv += ["--api-ip", "127.0.0.1", "--api-port", str(settings.proxy_api_port)]
    argv += ["--default-target", hub, "--error-target", f"{hub}/hub/error"]
    return ChildPlan(
        name="proxy",
        argv=tuple(argv),
        environment={**environment, "CONFIGPROXY_AUTH_TOKEN": settings.proxy_token},
        directory=files.directory,
        log=files.logs / "proxy.log",
        healthy=http_probe(
            f"http://127.0.0.1:{settings.proxy_api_port}/api/routes",
            {"Authorization": f"token {settings.proxy_token}"},
        ),
        healthy_within_s=30,
        stop_within_s=5,
    )


def _hub(settings: DemoSettings, files: Files, programs: Programs, environment: dict[str, str]) -> ChildPlan:
    config = programs.root / "jupyterhub_config.py"
    return ChildPlan(
        name="hub",
        argv=(programs.python, "-m", "jupyterhub", "--config", str(config)),
        environment={**environment, **hub_environment(settings, files, programs.root)},
        directory=files.hub,
        log=files.logs / "hub.log",
        healthy=http_probe(f"{settings.address}/hub/health"),
        healthy_within_s=120,
        stop_within_s=30,
    )


def hub_environment(settings: DemoSettings, files: Files, root: Path) -> dict[str, str]:
    """What `hub_config/settings.py` reads. Secrets of people go by files; the proxy's token is JupyterHub's own way."""
    return {
        "JS2_STATE_DIR": str(files.hub),
        "JS2_CLOUDS_YAML": str(files.clouds_yaml),
        "JS2_CATALOG": str(files.catalog if settings.regions < len(REGIONS) else catalog_of(root)),
        "JS2_SIGN_IN": "local",
        "JS2_USERS": ",".join(settings.users),
        "JS2_PASSWORD_FILE": str(files.password),
        "JS2_API_TOKEN_FILE": str(files.api_token),
        "JS2_BIND_URL": settings.address,
        "JS2_HUB_BIND_URL": f"http://127.0.0.1:{settings.hub_port}",
        "JS2_PROXY_API_URL": f"http://127.0.0.1:{settings.proxy_api_port}",
        "JS2_HANDSHAKE_BIND": f"127.0.0.1:{settings.handshake_port}",
        "JS2_HANDSHAKE_URL": f"https://127.0.0.1:{settings.handshake_port}",
        "JS2_HUB_ID": settings.hub_id,
        "CONFIGPROXY_AUTH_TOKEN": settings.proxy_token,
    }
