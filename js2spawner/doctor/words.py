"""What a cloud's refusal is called in a finding, and what to do about it."""

from __future__ import annotations

from js2spawner.cloud.errors import BadCloudConfig, BadNetwork, CloudError, Gone, SignInFailed, Unreachable
from js2spawner.doctor.findings import Finding, fail, warn

_REMEDIES: tuple[tuple[type[CloudError], str], ...] = (
    (BadCloudConfig, "Put the entry in clouds.yaml right."),
    (SignInFailed, "Make a new application credential and put it into clouds.yaml."),
    (Unreachable, "Check auth_url in clouds.yaml, and this machine's way to it."),
    (BadNetwork, "Check the name; `openstack network auto allocated topology create` makes the default one."),
    (Gone, "Check the name, and whether this project may use it."),
)


def refused(about: str, problem: CloudError, *, needed: bool = True) -> Finding:
    """`needed`: some start depends on it."""
    remedy = next((remedy for kind, remedy in _REMEDIES if isinstance(problem, kind)), "Ask the cloud's operator.")
    return (fail if needed else warn)(about, said(problem), remedy)


def said(problem: CloudError) -> str:
    detail = " ".join(problem.detail.split())[:300]
    return f"{problem.sentence} ({detail})" if detail else problem.sentence
