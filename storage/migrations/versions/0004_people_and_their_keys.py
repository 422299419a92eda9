"""Roles by project, invitations, access tokens, where a sign-in came from.

Revision 0004, after 0003.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _add_columns(table: str, columns: list[sa.Column[Any]], *, filled: dict[str, Any]) -> None:
    """Add columns; those in `filled` get a value in every row that there is, then NOT NULL."""
    with op.batch_alter_table(table) as batch_op:
        for column in columns:
            batch_op.add_column(column)
    kinds = {column.name: column.type for column in columns}
    rows = sa.table(table, *(sa.column(name, kinds[name]) for name in filled))
    op.execute(rows.update().values(filled))
    with op.batch_alter_table(table) as batch_op:
        for name in filled:
            batch_op.alter_column(name, existing_type=kinds[name], nullable=False)


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "access_token",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("actions", sa.JSON().with_variant(JSONB(), "postgresql"), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_access_token_account_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_token")),
        sa.UniqueConstraint("token_sha256", name=op.f("uq_access_token_token_sha256")),
    )
    with op.batch_alter_table("access_token") as batch_op:
        batch_op.create_index(
            batch_op.f("ix_access_token_account_id"), ["account_id"], unique=False
        )

    op.create_table(
        "invitation",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("code_sha256", sa.String(length=64), nullable=False),
        sa.Column(
            "role",
            sa.Enum(
                "annotator",
                "lead",
                "engineer",
                "admin",
                name="role",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("project_id", sa.Integer(), nullable=True),
        sa.Column("account_id", sa.Integer(), nullable=True),
        sa.Column("note", sa.String(length=200), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("used_by_id", sa.Integer(), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_invitation_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["by_id"], ["account.id"], name=op.f("fk_invitation_by_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_invitation_project_id_project")
        ),
        sa.ForeignKeyConstraint(
            ["used_by_id"], ["account.id"], name=op.f("fk_invitation_used_by_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_invitation")),
        sa.UniqueConstraint("code_sha256", name=op.f("uq_invitation_code_sha256")),
    )
    _add_columns(
        "account",
        [
            sa.Column("project_roles", sa.JSON().with_variant(JSONB(), "postgresql")),
            sa.Column("erased_at", sa.DateTime(timezone=True)),
        ],
        filled={"project_roles": {}},
    )
    ways = ("password", "invitation", "oidc")
    _add_columns(
        "sign_in",
        [
            sa.Column("last_seen_at", sa.DateTime(timezone=True)),
            sa.Column(
                "way",
                sa.Enum(
                    *ways, name="signinway", native_enum=False, create_constraint=True, length=24
                ),
            ),
            sa.Column("address", sa.String(length=45)),
            sa.Column("user_agent", sa.String(length=300)),
        ],
        filled={"way": "password", "address": "", "user_agent": ""},
    )


def downgrade() -> None:
    """Change them back."""
    with op.batch_alter_table("sign_in") as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_sign_in_signinway"), type_="check")
        for column in ("user_agent", "address", "way", "last_seen_at"):
            batch_op.drop_column(column)
    with op.batch_alter_table("account") as batch_op:
        batch_op.drop_column("erased_at")
        batch_op.drop_column("project_roles")
    op.drop_table("invitation")
    op.drop_table("access_token")
