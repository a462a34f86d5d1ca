"""What may stand in a catalog: the settings of each kind of entry. `catalog` checks them together."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from js2spawner.instance import HomeKind, Idle
from js2spawner.lease import Policy
from js2spawner.saved import NOTHING_KEPT, Allowance

Text = Annotated[str, Field(min_length=1, max_length=500)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Texts = Annotated[tuple[Text, ...], Field(strict=False)]
Names = Annotated[tuple[Text, ...], Field(strict=False)]
Idles = Annotated[tuple[Idle, ...], Field(strict=False, min_length=1)]
Url = Annotated[str, Field(pattern=r"^https://[^\s\"'<>]{1,500}$")]
_PART = r"[A-Za-z0-9_][A-Za-z0-9._ -]{0,99}"
Folder = Annotated[str, Field(pattern=rf"^(\.|{_PART}(/{_PART}){{0,7}})$")]


class Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Entry(Settings):
    name: Name


class Region(Entry):
    """One region of one cloud. `cloud` is the entry in clouds.yaml; without `region`, that entry says which.

    `share_protocol`: how shares are mounted; where it is not said, the name of their type says it.
    """

    cloud: Text
    region: Text | None = None
    network: Text = "auto_allocated_network"
    security_group: Text = "js2-hub"
    config_drive: bool = True
    title: Text | None = None
    volume_type: Text | None = None
    share_type: Text | None = None
    share_protocol: Literal["NFS", "CEPHFS"] | None = None

    @property
    def protocol_of_shares(self) -> str:
        """Manila's word for how shares of this region are mounted."""
        named = (self.share_type or "").lower()
        return self.share_protocol or ("CEPHFS" if "ceph" in named and "nfs" not in named else "NFS")

    @property
    def shown(self) -> str:
        """What a person calls it."""
        return self.title or self.name


class Seed(Settings):
    """What a home holds at first: a git repository (`branch`: its default one) or a tar archive over HTTPS.

    It is put below `into`, and nothing that is there is ever changed.
    """

    git: Url | None = None
    archive: Url | None = None
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._/-]{0,99}$")] | None = None
    into: Folder = "."


class Snapshots(Settings):
    """Copies of a home: one every so many hours in which it was used, of which the last `keep` stay."""

    every_hours: float = Field(24, gt=0, le=24 * 30)
    keep: int = Field(7, ge=1, le=100)


class Home(Settings):
    """Where a user's files stay.

    `volume`: a Cinder volume for each user and region, `share`: a Manila share, `none`: they go with the instance.
    `size_gb` at first, `most_gb` at most; `grace_days` between the wish to delete a home and its deletion.
    """

    kind: HomeKind = "none"
    size_gb: int = Field(10, ge=1, le=100_000)
    most_gb: int = Field(100, ge=1, le=100_000)
    seed: Seed | None = None
    snapshots: Snapshots | None = None
    grace_days: float = Field(14, ge=0, le=3650)


class ClassData(Entry):
    """Files that many may read, at /data/NAME: a share, or the snapshot of a volume, by id, of one region."""

    region: Text | None = None
    share: Text | None = None
    snapshot: Text | None = None


class Limit(Entry):
    """What one member of the group `name` may have at once ("everyone" is all); None is no limit.

    `together` is how many instances all its members may have. Who is in several groups has the best of each.
    """

    servers: int | None = Field(None, ge=0)
    gpus: int | None = Field(None, ge=0)
    su_per_hour: float | None = Field(None, ge=0)
    together: int | None = Field(None, ge=0)


class Saves(Settings):
    """How many instances one person may keep as images, how large together in GB, and whether a group may use them.

    Members of the groups in `freeze` may freeze theirs for a group they are in.
    """

    most: int = Field(3, ge=0, le=1000)
    most_gb: float = Field(40, gt=0, le=1_000_000)
    share: bool = True
    freeze: Names = ()

    @property
    def allowance(self) -> Allowance:
        return Allowance(self.most, self.most_gb, self.share, self.freeze)


class Profile(Entry):
    """The terms of use: `retries` are further attempts after one that failed for a passing reason.

    Without `saves` no instance can be kept as an image. `idle`: what may become of an instance nobody uses; its user
    chooses, the first is the default. `regions`: where a start may go, in this order. `next_flavors`: what is tried
    after the chosen flavor when that has no room and the user allows it. A flavor that costs `confirm_from_su` an hour
    or more has to be confirmed.
    """

    sudo: bool = False
    idle_minutes: float = Field(60, gt=0, le=60 * 24 * 30)
    longest_hours: float = Field(24, gt=0, le=24 * 365)
    warn_minutes: float = Field(10, gt=0, le=60 * 24)
    extend_minutes: float = Field(60, gt=0, le=60 * 24 * 7)
    extensions: int = Field(3, ge=0, le=1000)
    retries: int = Field(2, ge=0, le=10)
    saves: Saves | None = None
    home: Home = Field(default_factory=lambda: Home.model_validate({}))
    data: Names = ()
    idle: Idles = ("delete",)
    shelved_days: float = Field(14, gt=0, le=365)
    regions: Names | None = None
    next_flavors: Names = ()
    confirm_from_su: float | None = Field(None, gt=0)

    @property
    def allowance(self) -> Allowance:
        return self.saves.allowance if self.saves else NOTHING_KEPT

    @property
    def policy(self) -> Policy:
        return Policy(
            idle_s=self.idle_minutes * 60,
            longest_s=self.longest_hours * 3600,
            warn_s=self.warn_minutes * 60,
            extend_s=self.extend_minutes * 60,
            extensions=self.extensions,
        )


class Gpu(Settings):
    """What a person calls the GPU ("A100 slice"), its memory, which share of a card it is, or how many cards."""

    kind: Text
    memory_gb: float = Field(gt=0)
    share: float = Field(1.0, gt=0, le=1)
    cards: int = Field(1, ge=1, le=16)


class FlavorEntry(Entry):
    """One Nova flavor; `name` is Nova's. The sizes are shown until the cloud has told its own."""

    title: Text
    vcpus: int = Field(gt=0)
    memory_gb: float = Field(gt=0)
    disk_gb: float = Field(gt=0)
    su_per_hour: float = Field(ge=0)
    gpu: Gpu | None = None
    groups: Names | None = None

    def at_least(self, other: FlavorEntry) -> bool:
        return self.vcpus >= other.vcpus and self.memory_gb >= other.memory_gb and self.disk_gb >= other.disk_gb


class ImageEntry(Entry):
    """One image as users see it: either `library`, the current version of that image of the library, or `image`,
    Glance's name (the newest of that name is taken) or id, which `sha512` pins to data of that hash.

    `smallest` and `flavors` narrow the flavors it may run on; `groups` narrows who may use it.
    """

    title: Text
    description: Text
    image: Text | None = None
    library: Name | None = None
    sha512: Text | None = None
    inside: Texts = ()
    gpu: Literal["required", "possible", "no"] = "no"
    smallest: Text | None = None
    flavors: Names | None = None
    groups: Names | None = None
    profile: Text
    region: Text | None = None


class Defaults(Settings):
    """What somebody gets who asks for nothing in particular."""

    image: Text
    flavor: Text
