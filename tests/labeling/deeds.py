"""Every public function of `labeling` that an account asks for, and the action that it takes."""

import ast
import inspect
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import labeling
from labeling.permissions import Action

ROOM = Path(labeling.__file__).parent
#: parameters that say who asks
WHO = ("by", "account", "annotator_id", "account_id")

A = Action
#: function → the action that it takes
DEEDS: dict[str, Action] = {
    "accounts.create_account": A.MANAGE_ACCOUNTS,
    "audit.log.audit_log": A.SEE_AUDIT,
    "audit.log.audit_rows": A.SEE_AUDIT,
    "datasets.export_preferences.export_preferences": A.EXPORT,
    "datasets.snapshot_list.list_snapshots": A.EXPORT,
    "datasets.snapshots.take_snapshot": A.EXPORT,
    "endpoint_policies.add_endpoint_policy": A.CHANGE_LABELING,
    "endpoint_policies.switch_endpoint": A.CHANGE_LABELING,
    "event_pages.events_since": A.MANAGE_WEBHOOKS,
    "imports.completions.import_completions": A.IMPORT,
    "imports.preferences.import_staged": A.IMPORT,
    "imports.prompts.import_prompts": A.MANAGE_PROMPTS,
    "judging.demonstrations.add_demonstration": A.JUDGE,
    "judging.demonstrations.import_demonstrations": A.MANAGE_PROMPTS,
    "judging.drafts.keep_draft": A.JUDGE,
    "judging.history.reopen_judgment": A.JUDGE,
    "judging.judgments.reopen_last": A.JUDGE,
    "judging.judgments.submit_judgment": A.JUDGE,
    "judging.own_prompts.add_own_prompt": A.JUDGE,
    "judging.rewrites.rewrite_completion": A.JUDGE,
    "labeling_settings.change_labeling": A.CHANGE_LABELING,
    "model_annotators.model_quality.model_figures": A.SEE_QUALITY,
    "people.access_tokens.revoke_token": A.MANAGE_ACCOUNTS,
    "people.access_tokens.tokens": A.MANAGE_ACCOUNTS,
    "people.directory.accounts": A.MANAGE_ACCOUNTS,
    "people.invitations.invitations": A.INVITE,
    "people.invitations.invite": A.INVITE,
    "people.invitations.offer_new_password": A.MANAGE_ACCOUNTS,
    "people.invitations.revoke_invitation": A.INVITE,
    "people.roles.change_project_role": A.MANAGE_ACCOUNTS,
    "people.roles.change_role": A.MANAGE_ACCOUNTS,
    "people.roles.switch_off": A.MANAGE_ACCOUNTS,
    "people.roles.switch_on": A.MANAGE_ACCOUNTS,
    "people.sign_ins.open_sign_ins": A.MANAGE_ACCOUNTS,
    "people.sign_ins.require_own_or_admin": A.MANAGE_ACCOUNTS,
    "people.sign_ins.revoke_sign_in": A.MANAGE_ACCOUNTS,
    "people.sign_ins.revoke_sign_ins": A.MANAGE_ACCOUNTS,
    "privacy.erasure.erase_person": A.MANAGE_ACCOUNTS,
    "privacy.export.export_person": A.MANAGE_ACCOUNTS,
    "privacy.out_of_reach.out_of_reach": A.MANAGE_ACCOUNTS,
    "quality_control.guidelines.publish_guidelines": A.CHANGE_LABELING,
    "quality_control.known_answer_import.import_known_answers": A.CHANGE_LABELING,
    "quality_control.known_answers.make_gold": A.CHANGE_LABELING,
    "quality_control.known_answers.withdraw_known_answer": A.CHANGE_LABELING,
    "quality_control.qualification.reset_qualification": A.CHANGE_LABELING,
    "quality_control.qualification.wave_through": A.CHANGE_LABELING,
    "review.adjudication.decide": A.REVIEW,
    "review.adjudication.discard": A.REVIEW,
    "review.adjudication.keep": A.REVIEW,
    "review.adjudication.requeue": A.REVIEW,
    "review.adjudication.restore": A.REVIEW,
    "review.adjudication.send_back": A.REVIEW,
    "review.adjudication.withdraw": A.REVIEW,
    "review.reviewed_task.reviewed_task": A.REVIEW,
    "review.reviews.review_queue": A.REVIEW,
    "rollback.roll_back": A.ROLL_BACK,
    "rounds.request_round": A.REQUEST_ROUND,
    "statistics.annotator_reliability.annotator_reliability": A.SEE_QUALITY,
    "statistics.breakdowns.project_breakdown": A.SEE_QUALITY,
    "statistics.judgments_behind.judgments_behind": A.SEE_QUALITY,
    "statistics.quality.quality": A.SEE_QUALITY,
    "statistics.reliability.known_answer_tasks": A.SEE_QUALITY,
    "statistics.reliability.reliability": A.SEE_QUALITY,
    "statistics.throughput.work_by_hour": A.SEE_QUALITY,
    "statistics.where_it_hurts.where_it_hurts": A.SEE_QUALITY,
    "versions_compared.compare_versions": A.SEE_QUALITY,
    "webhooks.subscriptions.add_webhook": A.MANAGE_WEBHOOKS,
    "webhooks.subscriptions.last_deliveries": A.MANAGE_WEBHOOKS,
    "webhooks.subscriptions.remove_webhook": A.MANAGE_WEBHOOKS,
    "webhooks.subscriptions.send_test": A.MANAGE_WEBHOOKS,
    "webhooks.subscriptions.webhooks": A.MANAGE_WEBHOOKS,
    "withdrawals.traces.touched": A.WITHDRAW,
    "withdrawals.withdrawing.revert": A.WITHDRAW,
    "withdrawals.withdrawing.withdraw": A.WITHDRAW,
    "withdrawals.withdrawing.withdrawals": A.WITHDRAW,
    "work_queue.assignment.next_assignment": A.JUDGE,
    "work_queue.assignment.prolong": A.JUDGE,
    "work_queue.locks.lock_own": A.JUDGE,
    "work_queue.pools.set_pool": A.CHANGE_LABELING,
    "work_queue.putting_aside.flag_assignment": A.JUDGE,
    "work_queue.putting_aside.skip_assignment": A.JUDGE,
    "work_queue.queue.requeue": A.REVIEW,
    "work_queue.queue.withdraw": A.REVIEW,
}

#: another action that lets through, too
ALSO: dict[str, Action] = {"people.invitations.invitations": A.MANAGE_ACCOUNTS}

OWN = "reads or changes nothing but what the account itself has"
INNER = "a part of deeds that have asked already"
FIGURES = "the name of a column or a draw, not somebody who asks"
#: functions that name an account and ask for no permission, and why
EXPLAINED: dict[str, str] = {
    "accounts.store_account": INNER,
    "audit.files.note_export": INNER,
    "events.record": INNER,
    "imports.preferences.add_import": INNER,
    "judging.counts.count_judgments": OWN,
    "judging.counts.count_own": OWN,
    "judging.drafts.drop_draft": OWN,
    "judging.drafts.unfinished_correction": OWN,
    "judging.history.count_returned": OWN,
    "judging.history.judged_task": OWN,
    "judging.history.own_judgments": OWN,
    "judging.history.returned_judgments": OWN,
    "judging.surroundings.surroundings_of": OWN,
    "model_annotators.model_judgments.store_model_judgment": "the worker's, for a model's account",
    "model_annotators.model_judgments.tasks_to_judge": "the worker's, for a model's account",
    "news.learned": OWN,
    "people.access_tokens.make_token": "never for another account",
    "people.identities.link_identity": OWN,
    "people.identities.unlink_identity": OWN,
    "people.invitations.revoke_open_of": INNER,
    "people.own_password.change_password": OWN,
    "people.own_password.set_password": INNER,
    "people.roles.give_role": INNER,
    "people.roles.keep_an_admin": INNER,
    "people.sign_ins.close_all": INNER,
    "people.sign_ins.may_sign_in": INNER,
    "people.sign_ins.open_sign_in": "whoever has proved who they are",
    "permissions.allows": "asks",
    "permissions.require": "asks",
    "permissions.role_of": "asks",
    "privacy.kept.about": INNER,
    "privacy.kept.rows_of": INNER,
    "quality_control.guidelines.guidelines_to_read": OWN,
    "quality_control.guidelines.last_read": OWN,
    "quality_control.guidelines.mark_read": OWN,
    "quality_control.known_answers.keep_known_answer": INNER,
    "quality_control.guidelines.unread_guidelines": OWN,
    "quality_control.qualification.standing": OWN,
    "quality_control.qualification.under_way": OWN,
    "quality_control.qualification_attempts.begin_attempt": INNER,
    "quality_control.qualification_attempts.newest_attempt": INNER,
    "reliability_models.rankings.rankings_of": FIGURES,
    "statistics.breakdowns.breakdown": FIGURES,
    "withdrawals.conditions.withdrawn_at": INNER,
    "withdrawals.room_given_back.close_tasks": INNER,
    "work_queue.assignment.release_assignments": "gives back one's own tasks, whoever one is now",
    "work_queue.begun.begun": INNER,
    "work_queue.claim.claim": INNER,
    "work_queue.open_tasks.closed_to": INNER,
    "work_queue.open_tasks.open_to": INNER,
    "work_queue.queues.queued_statement": INNER,
    "work_queue.due.due_to": INNER,
    "work_queue.locks.lock_annotator": INNER,
    "work_queue.locks.lock_annotator_in": INNER,
    "work_queue.mixture.chance": FIGURES,
    "work_queue.task_copies.keep_other_order": INNER,
}


def functions_with_somebody() -> set[str]:
    """Return the public functions of `labeling` that are told of an account."""
    found = set()
    for path in ROOM.rglob("*.py"):
        module = ".".join(path.relative_to(ROOM).with_suffix("").parts)
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                names = {each.arg for each in (*node.args.args, *node.args.kwonlyargs)}
                if names & set(WHO):
                    found.add(f"{module}.{node.name}")
    return found


def function_named(name: str) -> Any:
    """Return the function."""
    module, _, function = name.rpartition(".")
    return getattr(import_module(f"labeling.{module}"), function)


def arguments(function: Any, values: Mapping[str, Any], actor: Any) -> dict[str, Any]:
    """Return what a function is called with: its needed parameters, and who asks."""
    parameters = inspect.signature(function).parameters
    # `by` is also what figures are divided by.
    divides = "account" in parameters and function.__name__ == "project_breakdown"
    who = "account" if divides else next(name for name in WHO if name in parameters)
    given = {
        name: values[name]
        for name, one in parameters.items()
        if name in values and (one.default is one.empty or name in ("session", "project"))
    }
    return given | {who: actor.id if who.endswith("_id") else actor}
