"""One sign-in, from clouds.yaml to a token and the addresses of the services. Blocking: signin.py runs it in a thread.

clouds.yaml is read anew each time, so a credential that an operator replaces is used at the next sign-in, and no
plugin (they hold a lock while they talk) is shared between two threads.
"""

from __future__ import annotations

import logging
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import keystoneauth1.exceptions as keystone_errors
from openstack import exceptions as sdk_errors
from openstack.config import OpenStackConfig

from .errors import BadCloudConfig, CloudError, SignInFailed, Throttled, Unreachable

log = logging.getLogger(__name__)

SOCKET_TIMEOUT_S = 20.0
"""No single wait for Keystone is longer, so that a thread whose caller has left ends soon after."""

# The services we speak to, and what a catalogue's address lacks when it names no version.
_VERSIONS = {"compute": "v2.1", "image": "v2", "network": "v2.0", "block-storage": "v3", "shared-file-system": "v2"}
_VERSION = re.compile(r"v\d+(\.\d+)?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a sign-in gives. `endpoints` are by service type and end in the API version, without a slash.

    `tls` is for every call to this cloud, as clouds.yaml wants it. `lifetime_s` counts from the sign-in.
    """

    token: str = field(repr=False)
    endpoints: Mapping[str, str]
    project_id: str
    lifetime_s: float
    tls: ssl.SSLContext = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """Which entry of which clouds.yaml, and which region of it.

    Without a file the places openstacksdk looks in count (OS_CLIENT_CONFIG_FILE, `.`, `~/.config/openstack`,
    `/etc/openstack`); with one, only that file and a `secure.yaml` beside it, whatever the environment says.
    """

    cloud: str
    region: str | None = None
    file: str | None = None


def authenticate(entry: Entry, *, timeout_s: float) -> Grant:
    """Sign in once.

    Raises:
        BadCloudConfig: the entry is missing or cannot work, or the catalogue has no compute service for it.
        SignInFailed: Keystone refused the credential (an unknown application credential is 404 there).
        Throttled: Keystone asks for less.
        Unreachable: Keystone could not be asked or failed. That is certain: no service was asked for anything yet.
    """
    try:
        region = _region(entry, timeout_s)
        return _grant(entry, region)
    except keystone_errors.HttpError as error:
        raise _refusal(error) from None
    except (keystone_errors.ConnectionError, keystone_errors.DiscoveryFailure) as error:
        raise Unreachable(f"Keystone cannot be reached: {error}") from None
    except (keystone_errors.ClientException, sdk_errors.SDKException) as error:
        raise BadCloudConfig(_in(entry, str(error))) from None
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, AssertionError) as error:
        # Neither library checks the shape of what it reads.
        raise Unreachable(f"Keystone's answer cannot be read: {type(error).__name__}.") from None


def _region(entry: Entry, timeout_s: float) -> Any:
    try:
        files = None if entry.file is None else [entry.file]
        beside = None if entry.file is None else [str(Path(entry.file).with_name("secure.yaml"))]
        config = OpenStackConfig(
            config_files=files, secure_files=beside, load_envvars=entry.file is None, app_name="js2spawner"
        )
        if config.config_filename is None and entry.cloud not in config.get_cloud_names():
            raise BadCloudConfig(_in(entry, "there is no such file, or it is not YAML."))
        if entry.region:
            _choose_region(config.cloud_config["clouds"].get(entry.cloud), entry.region)
        return config.get_one(cloud=entry.cloud, region_name=entry.region, api_timeout=min(timeout_s, SOCKET_TIMEOUT_S))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise BadCloudConfig(_in(entry, f"the file has the wrong shape ({type(error).__name__}).")) from None
    except OSError as error:
        raise BadCloudConfig(_in(entry, f"it cannot be read ({error.strerror}).")) from None


def _choose_region(settings: Any, region: str) -> None:
    """Have the SDK take this region though the entry names another one.

    Dashboards write files with the one region they were asked in. Only a list (`regions`) says that there are no
    others; else the catalogue does.
    """
    if isinstance(settings, dict) and "regions" not in settings:
        settings["region_name"] = region


def _grant(entry: Entry, region: Any) -> Grant:
    session = region.get_session()
    # The SDK can be told to keep tokens in a keyring; the one in there may be the one that was just refused.
    session.auth.invalidate()
    access = session.auth.get_access(session)
    token = str(access.auth_token)
    if not (token.isascii() and token.isprintable()):
        raise ValueError("no token")
    issued = access.issued or datetime.now(UTC)
    endpoints = {service: url for service in _VERSIONS if (url := _endpoint(region, access, service))}
    if "compute" not in endpoints:
        where = f" in region {region.get_region_name()}" if region.get_region_name() else ""
        raise BadCloudConfig(_in(entry, f"the cloud's catalogue has no compute service{where}."))
    return Grant(
        token=token,
        endpoints=endpoints,
        project_id=str(access.project_id or ""),
        # Keystone's own two times, so that a hub whose clock is wrong still knows how long its token lasts.
        lifetime_s=(access.expires - issued).total_seconds(),
        tls=_tls(entry, *region.get_requests_verify_args()),
    )


def _endpoint(region: Any, access: Any, service: str) -> str:
    url = region.get_endpoint(service)
    if not url:
        try:
            url = access.service_catalog.url_for(
                service_type=region.get_service_type(service),
                service_name=region.get_service_name(service),
                interface=region.get_interface(service),
                region_name=region.get_region_name(service),
            )
        except keystone_errors.EndpointNotFound:
            return ""
    return versioned(str(url), service)


def versioned(url: str, service: str) -> str:
    """The address with the API version we speak, if it names none itself (Glance's and Neutron's seldom do)."""
    url = url.rstrip("/")
    named = any(_VERSION.fullmatch(part) for part in urlsplit(url).path.split("/"))
    return url if named else f"{url}/{_VERSIONS[service]}"


def _tls(entry: Entry, verify: bool | str | None, certificate: str | tuple[str, str] | None) -> ssl.SSLContext:
    """What the `verify`, `cacert`, `cert` and `key` of clouds.yaml mean."""
    try:
        authority = verify if isinstance(verify, str) else None
        is_folder = authority is not None and Path(authority).is_dir()
        context = ssl.create_default_context(
            cafile=None if is_folder else authority, capath=authority if is_folder else None
        )
        if certificate:
            context.load_cert_chain(*((certificate,) if isinstance(certificate, str) else certificate))
    except OSError as error:
        raise BadCloudConfig(_in(entry, f"cacert or cert cannot be used ({error.strerror or error}).")) from None
    if not verify:
        log.warning("clouds.yaml, cloud %s: the cloud's certificate is not checked (verify: false).", entry.cloud)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refusal(error: Any) -> CloudError:
    status = int(error.http_status or 0)
    detail = f"Keystone: {error.message}"[:400]
    if status in (429, 413):
        return Throttled(detail, status=status)
    if 400 <= status < 500 and status != 408:
        return SignInFailed(detail, status=status)
    return Unreachable(detail, status=status)


def _in(entry: Entry, trouble: str) -> str:
    return f"{entry.file or 'clouds.yaml'}, cloud {entry.cloud}: {' '.join(trouble.split())}"[:400]
