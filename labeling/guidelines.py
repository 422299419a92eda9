"""Guidelines in versions: the newest is in force, and judgments carry its number."""

from sqlmodel import Session, col, select

from storage.tables import GuidelineVersion


def guidelines_in_force(session: Session, *, project_id: int) -> GuidelineVersion | None:
    """Return the project's newest guidelines, or None where it has none of its own."""
    return session.exec(
        select(GuidelineVersion)
        .where(GuidelineVersion.project_id == project_id)
        .order_by(col(GuidelineVersion.version).desc())
        .limit(1)
    ).first()
