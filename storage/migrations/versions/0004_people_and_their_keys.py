"""Roles by project, invitations, access tokens, where a sign-in came from; events for good.

Revision 0004, after 0003.
"""

from datetime import UTC
from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

#: kinds of events that were written before and belong to the audit log
AUDITED = (
    *("account.created", "sign_in.opened", "sign_in.closed"),
    *("completions.imported", "demonstrations.imported", "known_answers.imported"),
    *("preferences.imported", "prompts.imported", "preferences.exported", "export.written"),
    *("database.backed_up", "database.copied", "guidelines.published", "judgments.withdrawn"),
    *("known_answer.added", "known_answer.withdrawn", "labeling.changed"),
    *("policy.endpoint_added", "policy.endpoint_switched_off", "policy.endpoint_switched_on"),
    *("policy.rolled_back", "pool.changed", "project.changed", "project.created"),
    *("qualification.reset", "qualification.waved_through", "round.requested"),
    *("snapshot.created", "tasks.requeued", "tasks.withdrawn", "webhook.added"),
    *("webhook.removed", "webhook.switched_off", "withdrawal.reverted"),
)
#: what their details held that tells of a person
PERSONAL = {
    "account.created": ("name",),
    "alarm.raised": ("words",),
    "judgment.refused": ("rationale",),
    "qualification.begun": ("annotator",),
    "qualification.reset": ("annotator",),
    "qualification.waved_through": ("annotator",),
    "round.opened": ("reason",),
    "task.flagged": ("reason",),
    "task.skipped": ("reason",),
}
_JSON = sa.JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")
_EVENT = sa.table(
    "event",
    sa.column("id", sa.Integer()),
    sa.column("kind", sa.String()),
    sa.column("detail", _JSON),
    sa.column("personal", _JSON),
    sa.column("audited", sa.Boolean()),
)
#: indexes that follow the queue's orders; "-" descends
QUEUES = {
    "ix_task_by_priority": "project_id pool -priority -policy_id id",
    "ix_task_by_breadth": "project_id pool -priority judged -policy_id id",
    "ix_task_by_depth": "project_id pool -priority -judged -policy_id id",
}
_QUEUED = "status = 'ready' AND kind IN ('ordinary', 'arena') AND for_annotator_id IS NULL"
_KEPT = ("id", "project_id", "account_id", "kind", "detail", "audited", "created_at")


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
    _pseudonym_keys()
    _events_for_good()
    _queues_in_order()


def _queues_in_order() -> None:
    # 0003 built SQLite's table of tasks anew, by which its indexes forgot what descends: the next
    # task was found by sorting all of the queue.
    if op.get_bind().dialect.name != "sqlite":
        return
    for name, columns in QUEUES.items():
        op.drop_index(name, table_name="task")
        parts = [
            sa.desc(sa.column(column[1:])) if column.startswith("-") else column
            for column in columns.split()
        ]
        op.create_index(name, "task", parts, sqlite_where=sa.text(_QUEUED))


def _pseudonym_keys() -> None:
    """Give each project the key that its pseudonyms were made with: they stay what they are."""
    op.add_column("project", sa.Column("pseudonym_key", sa.String(length=100), nullable=True))
    projects = sa.table(
        "project",
        sa.column("id", sa.Integer()),
        sa.column("created_at", sa.DateTime(timezone=True)),
        sa.column("pseudonym_key", sa.String()),
    )
    found = op.get_bind().execute(sa.select(projects.c.id, projects.c.created_at)).all()
    for key, at in found:
        aware = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
        op.execute(
            projects.update()
            .where(projects.c.id == key)
            .values(pseudonym_key=f"{key}:{aware.isoformat()}")
        )
    with op.batch_alter_table("project") as batch_op:
        batch_op.alter_column("pseudonym_key", existing_type=sa.String(100), nullable=False)


def _events_for_good() -> None:
    op.add_column("event", sa.Column("personal", _JSON, nullable=True))
    op.add_column(
        "event", sa.Column("audited", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    op.execute(_EVENT.update().where(_EVENT.c.kind.in_(AUDITED)).values(audited=True))
    for row in _rows_of(tuple(PERSONAL)):
        names = [name for name in PERSONAL[row.kind] if name in row.detail]
        _store(
            row.id,
            detail={name: value for name, value in row.detail.items() if name not in names},
            personal={name: row.detail[name] for name in names} or None,
        )
    condition = sa.text("audited")
    for name, columns in {
        "ix_event_audit": ["id"],
        "ix_event_audit_account": ["account_id", "id"],
    }.items():
        op.create_index(name, "event", columns, sqlite_where=condition, postgresql_where=condition)
    _make_triggers()


def _rows_of(kinds: tuple[str, ...]) -> list[Any]:
    columns = (_EVENT.c.id, _EVENT.c.kind, _EVENT.c.detail, _EVENT.c.personal)
    statement = sa.select(*columns).where(_EVENT.c.kind.in_(kinds))
    return list(op.get_bind().execute(statement).all())


def _store(event_id: int, **values: Any) -> None:
    op.execute(_EVENT.update().where(_EVENT.c.id == event_id).values(values))


def _make_triggers() -> None:
    if op.get_bind().dialect.name == "sqlite":
        same = " AND ".join(f"NEW.{name} IS OLD.{name}" for name in _KEPT)
        refused = "BEGIN SELECT RAISE(ABORT, 'events are append-only'); END"
        op.execute(
            "CREATE TRIGGER event_stays_as_it_is BEFORE UPDATE ON event "
            f"WHEN NOT (NEW.personal IS NULL AND {same}) {refused}"
        )
        op.execute(f"CREATE TRIGGER event_stays BEFORE DELETE ON event {refused}")
        return
    new, old = (", ".join(f"{which}.{name}" for name in _KEPT) for which in ("NEW", "OLD"))
    op.execute(
        "CREATE FUNCTION event_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        f"IF TG_OP = 'UPDATE' AND NEW.personal IS NULL AND ({new}) IS NOT DISTINCT FROM ({old}) "
        "THEN RETURN NEW; END IF; RAISE EXCEPTION 'events are append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER event_stays BEFORE UPDATE OR DELETE ON event "
        "FOR EACH ROW EXECUTE FUNCTION event_append_only()"
    )
    op.execute(
        "CREATE TRIGGER event_stays_whole BEFORE TRUNCATE ON event "
        "FOR EACH STATEMENT EXECUTE FUNCTION event_append_only()"
    )


def _events_as_before() -> None:
    if op.get_bind().dialect.name == "sqlite":
        op.execute("DROP TRIGGER event_stays_as_it_is")
        op.execute("DROP TRIGGER event_stays")
    else:
        op.execute("DROP TRIGGER event_stays ON event")
        op.execute("DROP TRIGGER event_stays_whole ON event")
        op.execute("DROP FUNCTION event_append_only()")
    for row in _rows_of(tuple(PERSONAL)):
        if row.personal is not None:
            _store(row.id, detail={**row.detail, **row.personal})
    op.drop_index("ix_event_audit_account", "event")
    op.drop_index("ix_event_audit", "event")
    with op.batch_alter_table("event") as batch_op:
        batch_op.drop_column("audited")
        batch_op.drop_column("personal")


def downgrade() -> None:
    """Change them back."""
    _events_as_before()
    with op.batch_alter_table("project") as batch_op:
        batch_op.drop_column("pseudonym_key")
    with op.batch_alter_table("sign_in") as batch_op:
        batch_op.drop_constraint(batch_op.f("ck_sign_in_signinway"), type_="check")
        for column in ("user_agent", "address", "way", "last_seen_at"):
            batch_op.drop_column(column)
    with op.batch_alter_table("account") as batch_op:
        batch_op.drop_column("erased_at")
        batch_op.drop_column("project_roles")
    op.drop_table("invitation")
    op.drop_table("access_token")
