"""Imports, withdrawals, webhooks, named snapshots, tags of prompts, servers as policies.

Revision 0003, after 0002.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _json() -> sa.types.TypeEngine[Any]:
    return sa.JSON().with_variant(JSONB(), "postgresql")


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
        "import",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("file_name", sa.String(length=300), nullable=False),
        sa.Column("file_sha256", sa.String(length=64), nullable=False),
        sa.Column("format", sa.String(length=40), nullable=False),
        sa.Column("counts", _json(), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["by_id"], ["account.id"], name=op.f("fk_import_by_id_account")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_import_project_id_project")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_import")),
    )
    with op.batch_alter_table("import") as batch_op:
        batch_op.create_index(batch_op.f("ix_import_project_id"), ["project_id"], unique=False)

    op.create_table(
        "webhook",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("kinds", _json(), nullable=False),
        sa.Column("secret_env", sa.String(length=100), nullable=False),
        sa.Column("active", sa.Boolean(), nullable=False),
        sa.Column("last_event_id", sa.Integer(), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["by_id"], ["account.id"], name=op.f("fk_webhook_by_id_account")),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_webhook_project_id_project")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook")),
        sa.UniqueConstraint("project_id", "url", name=op.f("uq_webhook_project_id_url")),
    )
    op.create_table(
        "webhook_delivery",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("webhook_id", sa.Integer(), nullable=False),
        sa.Column("event_id", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=50), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_up_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_status", sa.Integer(), nullable=True),
        sa.Column("last_error", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["event_id"], ["event.id"], name=op.f("fk_webhook_delivery_event_id_event")
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhook.id"], name=op.f("fk_webhook_delivery_webhook_id_webhook")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_delivery")),
        sa.UniqueConstraint(
            "webhook_id",
            "event_id",
            "kind",
            name=op.f("uq_webhook_delivery_webhook_id_event_id_kind"),
        ),
    )
    with op.batch_alter_table("webhook_delivery") as batch_op:
        batch_op.create_index(
            "ix_webhook_delivery_due",
            ["due_at"],
            unique=False,
            sqlite_where=sa.text("delivered_at IS NULL AND given_up_at IS NULL"),
            postgresql_where=sa.text("delivered_at IS NULL AND given_up_at IS NULL"),
        )

    op.create_table(
        "withdrawal",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("annotator_id", sa.Integer(), nullable=True),
        sa.Column("import_id", sa.Integer(), nullable=True),
        sa.Column("since", sa.DateTime(timezone=True), nullable=True),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("requeued", sa.Boolean(), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reverted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("reverted_by_id", sa.Integer(), nullable=True),
        sa.Column("reverted_reason", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["annotator_id"], ["account.id"], name=op.f("fk_withdrawal_annotator_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["by_id"], ["account.id"], name=op.f("fk_withdrawal_by_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["import_id"], ["import.id"], name=op.f("fk_withdrawal_import_id_import")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_withdrawal_project_id_project")
        ),
        sa.ForeignKeyConstraint(
            ["reverted_by_id"], ["account.id"], name=op.f("fk_withdrawal_reverted_by_id_account")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_withdrawal")),
    )
    with op.batch_alter_table("withdrawal") as batch_op:
        batch_op.create_index(
            "ix_withdrawal_covers", ["project_id", "annotator_id", "import_id"], unique=False
        )

    with op.batch_alter_table("demonstration") as batch_op:
        batch_op.add_column(sa.Column("import_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_demonstration_import_id_import"), "import", ["import_id"], ["id"]
        )

    _add_columns(
        "account",
        [sa.Column("imported_from", sa.String(length=200))],
        filled={"imported_from": ""},
    )
    _add_columns("policy", [sa.Column("endpoint", _json())], filled={"endpoint": {}})
    _add_columns(
        "prompt",
        [sa.Column("tags", _json()), sa.Column("language", sa.String(length=35))],
        filled={"tags": [], "language": ""},
    )
    _add_columns(
        "snapshot",
        [sa.Column("name", sa.String(length=100)), sa.Column("query", _json())],
        filled={"name": "", "query": {}},
    )
    with op.batch_alter_table("snapshot") as batch_op:
        batch_op.add_column(sa.Column("by_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_snapshot_by_id_account"), "account", ["by_id"], ["id"]
        )

    with op.batch_alter_table("task") as batch_op:
        batch_op.add_column(sa.Column("import_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_task_import_id_import"), "import", ["import_id"], ["id"]
        )
        batch_op.create_index(
            "ix_task_import",
            ["import_id"],
            unique=False,
            sqlite_where=sa.text("import_id IS NOT NULL"),
            postgresql_where=sa.text("import_id IS NOT NULL"),
        )



def downgrade() -> None:
    """Change them back."""
    with op.batch_alter_table("task") as batch_op:
        batch_op.drop_index(
            "ix_task_import",
            sqlite_where=sa.text("import_id IS NOT NULL"),
            postgresql_where=sa.text("import_id IS NOT NULL"),
        )
        batch_op.drop_constraint(batch_op.f("fk_task_import_id_import"), type_="foreignkey")
        batch_op.drop_column("import_id")

    with op.batch_alter_table("snapshot") as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_snapshot_by_id_account"), type_="foreignkey")
        batch_op.drop_column("by_id")
        batch_op.drop_column("query")
        batch_op.drop_column("name")

    with op.batch_alter_table("prompt") as batch_op:
        batch_op.drop_column("language")
        batch_op.drop_column("tags")

    with op.batch_alter_table("policy") as batch_op:
        batch_op.drop_column("endpoint")

    with op.batch_alter_table("account") as batch_op:
        batch_op.drop_column("imported_from")

    with op.batch_alter_table("demonstration") as batch_op:
        batch_op.drop_constraint(
            batch_op.f("fk_demonstration_import_id_import"), type_="foreignkey"
        )
        batch_op.drop_column("import_id")

    with op.batch_alter_table("withdrawal") as batch_op:
        batch_op.drop_index("ix_withdrawal_covers")

    op.drop_table("withdrawal")
    with op.batch_alter_table("webhook_delivery") as batch_op:
        batch_op.drop_index(
            "ix_webhook_delivery_due",
            sqlite_where=sa.text("delivered_at IS NULL AND given_up_at IS NULL"),
            postgresql_where=sa.text("delivered_at IS NULL AND given_up_at IS NULL"),
        )

    op.drop_table("webhook_delivery")
    op.drop_table("webhook")
    with op.batch_alter_table("import") as batch_op:
        batch_op.drop_index(batch_op.f("ix_import_project_id"))

    op.drop_table("import")
