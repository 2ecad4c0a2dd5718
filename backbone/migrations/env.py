"""What Alembic runs: the migrations of one room on the connection that `migrate` hands over."""

from alembic import context
from sqlalchemy import Connection

from backbone.migrations import version_options

connection: Connection = context.config.attributes["connection"]
options = version_options(context.config.attributes["room"], connection.dialect.name)
context.configure(connection=connection, transactional_ddl=True, **options)
context.run_migrations()  # within the transaction of `migrate`
