"""The hub's own tables: what is meant (attempts, places in the line) and what this hub has learned (timings).

The cloud stays the record of what exists. Losing these tables costs no home and no money.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, MetaData, String, Table, Text

metadata = MetaData()

attempts = Table(
    "js2_attempt",
    metadata,
    Column("attempt_id", String(64), primary_key=True),
    Column("hub_id", String(64), nullable=False),
    Column("owner", String(512), nullable=False),
    Column("state", String(32), nullable=False),
    Column("changed_at", Float, nullable=False),
    Column("record", Text, nullable=False),
    Index("js2_attempt_hub_state", "hub_id", "state"),
)

timings = Table(
    "js2_timing",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("hub_id", String(64), nullable=False),
    Column("image", String(255), nullable=False),
    Column("flavor", String(255), nullable=False),
    Column("stage", String(32), nullable=False),
    Column("seconds", Float, nullable=False),
    Column("at", Float, nullable=False),
    Index("js2_timing_hub_at", "hub_id", "at"),
)

places = Table(
    "js2_place",
    metadata,
    Column("place_id", String(64), primary_key=True),
    Column("hub_id", String(64), nullable=False),
    Column("owner", String(512), nullable=False),
    Column("since", Float, nullable=False),
    Column("turn_at", Float, nullable=False),
    Column("candidates", Text, nullable=False),
    Column("wish", Text, nullable=False),
    Index("js2_place_hub", "hub_id"),
)
