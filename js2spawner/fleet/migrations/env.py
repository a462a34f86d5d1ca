"""Alembic's entry: runs the migrations on the connection the store hands over."""

from alembic import context

from js2spawner.fleet.tables import metadata

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=metadata, version_table="js2_alembic_version")
with context.begin_transaction():
    context.run_migrations()
