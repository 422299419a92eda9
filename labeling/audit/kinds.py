"""Which events belong to the audit log, and which are the record of daily work."""

#: kind → what was done, as a person would say it
AUDITED = {
    "access_token.made": "Made an access token",
    "access_token.refused": "Came with a token that is not good",
    "access_token.revoked": "Revoked an access token",
    "account.created": "Made an account",
    "account.erased": "Erased a person's data",
    "account.exported": "Exported a person's data",
    "account.linked": "Linked single sign-on",
    "account.password_changed": "Changed a password",
    "account.role_changed": "Changed a role",
    "account.role_kept": "Kept the last admin's role",
    "account.switched_off": "Switched an account off",
    "account.switched_on": "Switched an account on",
    "account.unlinked": "Unlinked single sign-on",
    "audit.exported": "Exported the audit log",
    "completions.imported": "Imported completions",
    "database.backed_up": "Backed the database up",
    "database.copied": "Copied the database",
    "database.restored": "Restored a backup",
    "demonstrations.imported": "Imported demonstrations",
    "export.written": "Exported data",
    "guidelines.published": "Published guidelines",
    "invitation.made": "Invited somebody",
    "invitation.revoked": "Took an invitation back",
    "invitation.used": "Used an invitation",
    "judgments.withdrawn": "Withdrew judgments",
    "known_answer.added": "Added a known answer",
    "known_answer.withdrawn": "Withdrew a known answer",
    "known_answers.imported": "Imported known answers",
    "labeling.changed": "Changed how labeling works",
    "policy.endpoint_added": "Added an endpoint",
    "policy.endpoint_switched_off": "Switched an endpoint off",
    "policy.endpoint_switched_on": "Switched an endpoint on",
    "policy.rolled_back": "Rolled back to an older policy",
    "pool.changed": "Changed an annotator's pool",
    "preferences.exported": "Exported preferences",
    "preferences.imported": "Imported preferences",
    "project.changed": "Changed the project",
    "project.created": "Made the project",
    "prompts.imported": "Imported prompts",
    "qualification.reset": "Reset a qualification",
    "qualification.waved_through": "Waved an annotator through the qualification",
    "round.requested": "Asked for a training round",
    "sign_in.closed": "Signed out",
    "sign_in.failed": "Failed to sign in",
    "sign_in.opened": "Signed in",
    "sign_in.revoked": "Revoked sign-ins",
    "snapshot.created": "Made a snapshot",
    "tasks.requeued": "Requeued tasks",
    "tasks.withdrawn": "Withdrew tasks",
    "webhook.added": "Added a webhook",
    "webhook.removed": "Removed a webhook",
    "webhook.switched_off": "Switched a webhook off",
    "withdrawal.reverted": "Put withdrawn judgments back",
}


def is_audited(kind: str) -> bool:
    """Say whether an event of this kind belongs to the audit log."""
    return kind in AUDITED


def words_of(kind: str) -> str:
    """Return what was done in plain words; of a kind that is not known, the kind."""
    return AUDITED.get(kind, kind.replace(".", " ").replace("_", " "))
