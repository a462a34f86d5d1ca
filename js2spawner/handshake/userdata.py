"""The user-data every instance boots with: where its hub is, and one ticket. Nothing about any user."""

from __future__ import annotations

import json

VERSION = 1


def user_data(*, hub_url: str, authority_pem: str, attempt_id: str, ticket: str) -> str:
    """The text for Nova's `user_data`, not yet base64.

    One text serves two readers, because JSON is YAML: cloud-init wants its first line, the guest reads the object.
    `hostname` is cloud-init's: Nova would make it of the instance's name, which holds the user's, and systems print
    their hostname on the console.
    """
    told = {
        "hostname": f"js2-{attempt_id}",
        "js2": {"v": VERSION, "hub": hub_url, "ca": authority_pem, "attempt": attempt_id, "ticket": ticket},
    }
    return f"#cloud-config\n{json.dumps(told)}\n"
