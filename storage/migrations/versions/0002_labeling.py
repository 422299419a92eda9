"""Labeling: guidelines in versions, known answers, reviews, pools, criteria.

Revision 0002, after 0001.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


STATES = ["leased", "submitted", "skipped", "flagged", "released"]
KINDS = ["ordinary", "gold", "qualification", "repeat", "arena"]
STATUSES = ["ready", "done", "review", "withdrawn"]


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


def _allow(table: str, kind: str, column: str, values: list[str]) -> None:
    """Let a column hold these values and no others."""
    name = f"ck_{table}_{kind}"
    allowed = ", ".join(f"'{value}'" for value in values)
    with op.batch_alter_table(table) as batch_op:
        batch_op.drop_constraint(batch_op.f(name), type_="check")
        batch_op.create_check_constraint(batch_op.f(name), sa.text(f"{column} IN ({allowed})"))


def _keep_guidelines() -> None:
    """Make the guidelines of a project its version 1."""
    op.execute(
        "INSERT INTO guideline_version (project_id, version, text, note, created_at) "
        "SELECT id, 1, guidelines, '', created_at FROM project WHERE guidelines <> ''"
    )


def upgrade() -> None:
    """Change the tables."""
    op.create_table(
        "guideline_reading",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_guideline_reading_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_guideline_reading_project_id_project")
        ),
        sa.PrimaryKeyConstraint(
            "project_id", "account_id", "version", name=op.f("pk_guideline_reading")
        ),
    )
    op.create_table(
        "guideline_version",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.Column("note", sa.String(), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["by_id"], ["account.id"], name=op.f("fk_guideline_version_by_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_guideline_version_project_id_project")
        ),
        sa.PrimaryKeyConstraint("project_id", "version", name=op.f("pk_guideline_version")),
    )
    op.create_table(
        "pool_member",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("pool", sa.String(length=100), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_pool_member_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_pool_member_project_id_project")
        ),
        sa.PrimaryKeyConstraint("project_id", "account_id", name=op.f("pk_pool_member")),
    )
    op.create_table(
        "qualification",
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("account_id", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("task_ids", _json(), nullable=False),
        sa.Column("pairs", sa.Integer(), nullable=False),
        sa.Column("correct", sa.Float(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["account_id"], ["account.id"], name=op.f("fk_qualification_account_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["by_id"], ["account.id"], name=op.f("fk_qualification_by_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_qualification_project_id_project")
        ),
        sa.PrimaryKeyConstraint(
            "project_id", "account_id", "attempt", name=op.f("pk_qualification")
        ),
    )
    op.create_table(
        "known_answer",
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("ranks", _json(), nullable=False),
        sa.Column("explanation", sa.String(), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["by_id"], ["account.id"], name=op.f("fk_known_answer_by_id_account")
        ),
        sa.ForeignKeyConstraint(
            ["task_id"], ["task.id"], name=op.f("fk_known_answer_task_id_task")
        ),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_known_answer")),
    )
    op.create_table(
        "review",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("project_id", sa.Integer(), nullable=False),
        sa.Column("task_id", sa.Integer(), nullable=False),
        sa.Column("judgment_id", sa.Integer(), nullable=True),
        sa.Column(
            "decision",
            sa.Enum(
                "decided",
                "kept",
                "returned",
                "discarded",
                "restored",
                "withdrawn",
                "requeued",
                name="reviewdecision",
                native_enum=False,
                create_constraint=True,
                length=24,
            ),
            nullable=False,
        ),
        sa.Column("ranks", _json(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("comment", sa.String(), nullable=False),
        sa.Column("by_id", sa.Integer(), nullable=False),
        sa.Column("nonce", sa.String(length=64), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["by_id"], ["account.id"], name=op.f("fk_review_by_id_account")),
        sa.ForeignKeyConstraint(
            ["judgment_id"], ["judgment.id"], name=op.f("fk_review_judgment_id_judgment")
        ),
        sa.ForeignKeyConstraint(
            ["project_id"], ["project.id"], name=op.f("fk_review_project_id_project")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_review_task_id_task")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_review")),
        sa.UniqueConstraint("nonce", name=op.f("uq_review_nonce")),
    )
    with op.batch_alter_table("review") as batch_op:
        batch_op.create_index(batch_op.f("ix_review_judgment_id"), ["judgment_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_review_project_id"), ["project_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_review_task_id"), ["task_id"], unique=False)

    _add_columns(
        "assignment",
        [
            sa.Column("counted", sa.Boolean()),
            sa.Column("draft_at", sa.DateTime(timezone=True)),
            sa.Column("flags", _json()),
        ],
        filled={"counted": True},
    )
    _allow("assignment", "assignmentstate", "state", STATES)
    with op.batch_alter_table("demonstration") as batch_op:
        batch_op.add_column(sa.Column("nonce", sa.String(length=64), nullable=True))
        batch_op.create_unique_constraint(batch_op.f("uq_demonstration_nonce"), ["nonce"])
    _add_columns(
        "judgment",
        [
            sa.Column("strength", sa.Integer()),
            sa.Column("checks", _json()),
            sa.Column("marks", _json()),
            sa.Column("confidence", sa.Float()),
            sa.Column("guideline_version", sa.Integer()),
        ],
        filled={"checks": {}, "marks": []},
    )
    _keep_guidelines()
    _add_columns("project", [sa.Column("labeling", _json())], filled={"labeling": {}})
    with op.batch_alter_table("project") as batch_op:
        batch_op.drop_column("criteria")
        batch_op.drop_column("guidelines")
    with op.batch_alter_table("prompt") as batch_op:
        batch_op.add_column(sa.Column("written_by_id", sa.Integer(), nullable=True))
        batch_op.create_foreign_key(
            batch_op.f("fk_prompt_written_by_id_account"), "account", ["written_by_id"], ["id"]
        )
    _add_columns(
        "task",
        [
            sa.Column("judged", sa.Integer()),
            sa.Column("selection", sa.String(length=24)),
            sa.Column("pool", sa.String(length=100)),
            sa.Column("repeats_id", sa.Integer()),
            sa.Column("for_annotator_id", sa.Integer()),
        ],
        filled={"judged": 0, "selection": "random", "pool": ""},
    )
    op.execute(
        "UPDATE task SET judged = (SELECT count(*) FROM assignment "
        "WHERE assignment.task_id = task.id AND assignment.state = 'submitted')"
    )
    with op.batch_alter_table("task") as batch_op:
        batch_op.drop_index("ix_task_next")
        batch_op.create_foreign_key(
            batch_op.f("fk_task_repeats_id_task"), "task", ["repeats_id"], ["id"]
        )
        batch_op.create_foreign_key(
            batch_op.f("fk_task_for_annotator_id_account"), "account", ["for_annotator_id"], ["id"]
        )
    _allow("task", "taskkind", "kind", KINDS)
    _allow("task", "taskstatus", "status", STATUSES)
    special = sa.text("kind IN ('gold', 'qualification', 'repeat')")
    op.create_index(
        "ix_task_special",
        "task",
        ["project_id", "status", "kind", "for_annotator_id"],
        unique=False,
        sqlite_where=special,
        postgresql_where=special,
    )
    op.drop_index("ix_assignment_annotator_state", table_name="assignment")
    op.create_index(
        "ix_assignment_annotator_state", "assignment", ["annotator_id", "state", "id"], unique=False
    )
    op.drop_index("ix_judgment_annotator_id", table_name="judgment")
    _create_indexes()


QUEUED = "status = 'ready' AND kind IN ('ordinary', 'arena') AND for_annotator_id IS NULL"
CLOSED = "state IN ('submitted', 'skipped', 'flagged')"
INDEXES: dict[str, tuple[str, str, str | None]] = {
    "ix_task_by_priority": ("task", "project_id pool -priority -policy_id id", QUEUED),
    "ix_task_by_breadth": ("task", "project_id pool -priority judged -policy_id id", QUEUED),
    "ix_task_by_depth": ("task", "project_id pool -priority -judged -policy_id id", QUEUED),
    "ix_task_for_annotator": (
        "task",
        "for_annotator_id",
        "status = 'ready' AND for_annotator_id IS NOT NULL",
    ),
    "ix_task_project_status": ("task", "project_id status", None),
    "ix_assignment_closed": ("assignment", "annotator_id task_id", CLOSED),
    "ix_assignment_leased": ("assignment", "task_id expires_at", "state = 'leased'"),
    "ix_assignment_draft": ("assignment", "annotator_id", "draft IS NOT NULL"),
    "ix_judgment_annotator": ("judgment", "annotator_id project_id id", None),
    "ix_judgment_first": (
        "judgment",
        "annotator_id project_id created_at supersedes_id",
        "coalesce(supersedes_id, 0) = 0",
    ),
}


def _create_indexes() -> None:
    for name, (table, columns, condition) in INDEXES.items():
        where = None if condition is None else sa.text(condition)
        parts = [
            sa.desc(sa.column(column[1:])) if column.startswith("-") else column
            for column in columns.split()
        ]
        op.create_index(name, table, parts, sqlite_where=where, postgresql_where=where)


def _drop_indexes() -> None:
    for name, (table, _, _) in INDEXES.items():
        op.drop_index(name, table_name=table)
    op.create_index("ix_judgment_annotator_id", "judgment", ["annotator_id"])


def downgrade() -> None:
    """Change them back."""
    _drop_indexes()
    op.drop_index("ix_assignment_annotator_state", table_name="assignment")
    op.create_index(
        "ix_assignment_annotator_state", "assignment", ["annotator_id", "state"], unique=False
    )
    op.drop_index("ix_task_special", table_name="task")
    for table, kind, column, gone, values, instead in (
        ("assignment", "assignmentstate", "state", ["flagged"], STATES, "skipped"),
        ("task", "taskkind", "kind", ["repeat", "arena"], KINDS, "ordinary"),
        ("task", "taskstatus", "status", ["review"], STATUSES, "withdrawn"),
    ):
        listed = ", ".join(f"'{value}'" for value in gone)
        op.execute(f"UPDATE {table} SET {column} = '{instead}' WHERE {column} IN ({listed})")
        _allow(table, kind, column, [value for value in values if value not in gone])
    with op.batch_alter_table("task") as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_task_for_annotator_id_account"), type_="foreignkey")
        batch_op.drop_constraint(batch_op.f("fk_task_repeats_id_task"), type_="foreignkey")
        batch_op.create_index(
            "ix_task_next", ["project_id", "status", "priority", "policy_id", "id"]
        )
        batch_op.drop_column("for_annotator_id")
        batch_op.drop_column("repeats_id")
        batch_op.drop_column("pool")
        batch_op.drop_column("selection")
        batch_op.drop_column("judged")

    with op.batch_alter_table("prompt") as batch_op:
        batch_op.drop_constraint(batch_op.f("fk_prompt_written_by_id_account"), type_="foreignkey")
        batch_op.drop_column("written_by_id")

    _add_columns(
        "project",
        [sa.Column("guidelines", sa.String()), sa.Column("criteria", _json())],
        filled={"guidelines": "", "criteria": []},
    )
    op.execute(
        "UPDATE project SET guidelines = coalesce((SELECT text FROM guideline_version AS one "
        "WHERE one.project_id = project.id ORDER BY one.version DESC LIMIT 1), '')"
    )
    with op.batch_alter_table("project") as batch_op:
        batch_op.drop_column("labeling")

    with op.batch_alter_table("judgment") as batch_op:
        batch_op.drop_column("guideline_version")
        batch_op.drop_column("confidence")
        batch_op.drop_column("marks")
        batch_op.drop_column("checks")
        batch_op.drop_column("strength")

    with op.batch_alter_table("demonstration") as batch_op:
        batch_op.drop_constraint(batch_op.f("uq_demonstration_nonce"), type_="unique")
        batch_op.drop_column("nonce")

    with op.batch_alter_table("assignment") as batch_op:
        batch_op.drop_column("flags")
        batch_op.drop_column("draft_at")
        batch_op.drop_column("counted")

    with op.batch_alter_table("review") as batch_op:
        batch_op.drop_index(batch_op.f("ix_review_task_id"))
        batch_op.drop_index(batch_op.f("ix_review_project_id"))
        batch_op.drop_index(batch_op.f("ix_review_judgment_id"))

    op.drop_table("review")
    op.drop_table("known_answer")
    op.drop_table("qualification")
    op.drop_table("pool_member")
    op.drop_table("guideline_version")
    op.drop_table("guideline_reading")
