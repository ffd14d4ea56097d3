"""A currency for every booking, and no negative ones of the first account."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    currency = sa.Enum("EUR", "USD", name="currency")
    currency.create(op.get_bind())
    op.add_column("booking", sa.Column("currency", currency, nullable=False, server_default="EUR"))
    op.create_check_constraint("booking_positive", "booking", "account_id <> 1 or amount >= 0")
    op.alter_column("account", "name", type_=sa.Text)
    op.execute("update account set name = upper(name)")


def downgrade():
    op.execute("update account set name = lower(name)")
    op.alter_column("account", "name", type_=sa.String(50))
    op.drop_constraint("booking_positive", "booking")
    op.drop_column("booking", "currency")
    sa.Enum(name="currency").drop(op.get_bind())
