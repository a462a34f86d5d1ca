"""One-time tickets and channel credentials: made, hashed for keeping, compared without telling by time.

Both are 32 random bytes in URL-safe base64 (43 characters). With that much randomness a plain SHA-256 is a safe
way to keep them: there is nothing to guess, so nothing to slow down.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

SHAPE = re.compile(r"[A-Za-z0-9_-]{43}")


def mint() -> str:
    """A new ticket."""
    return secrets.token_urlsafe(32)


def hashed(secret: str) -> str:
    """What the hub keeps of a ticket or credential: 64 hexadecimal digits."""
    return hashlib.sha256(secret.encode()).hexdigest()


def matches(secret: str, kept_hash: str) -> bool:
    """Whether `secret` is the one whose hash was kept. An empty hash matches nothing."""
    return bool(kept_hash) and hmac.compare_digest(hashed(secret), kept_hash)
