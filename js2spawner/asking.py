"""Who asks: JupyterHub's users and services, as our options and rights know people."""

from __future__ import annotations

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.user import User

from js2spawner.options import Who


def who_is(user: User) -> Who:
    """A user of this hub."""
    groups = frozenset(group.name for group in user.groups)
    return Who(user.name, groups, bool(user.admin), never_reused_id(user))


def who_asks(handler: BaseHandler) -> Who:
    """Whoever the request is from. A service has no groups; it is an admin if it may do to servers what one may."""
    caller = handler.current_user
    if isinstance(caller, User):
        return who_is(caller)
    return Who(caller.name, frozenset(), handler.has_scope("admin:servers"))


def never_reused_id(user: User) -> str:
    """What stays when a user is renamed, and is another for a later user of the same name.

    JupyterHub's number alone may be given again once its user is removed; the moment the user came is not.
    """
    # As the database has it, and not as it was put in: some keep no fractions of a second.
    created = user.db.query(orm.User.created).filter(orm.User.id == user.id).scalar()
    return f"{user.id}-{created.isoformat()}" if created else ""
