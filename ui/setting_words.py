"""The settings of labeling in plain words, section by section, for the leads' settings page."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SettingWords:
    """Hold what a setting is called, and what it does in a sentence or two."""

    label: str
    help: str = ""


#: section to its title and what it is about
SECTIONS: dict[str, tuple[str, str]] = {
    "page": ("Task page", "What annotators see and are asked beside the ranking."),
    "assignment": ("Who gets which task", "The order of the queue, and limits for annotators."),
    "gold": ("Known answers and repeats", "Tasks that measure annotators, mixed in unseen."),
    "qualification": (
        "Qualification",
        "A test before real work; in force where there are qualification tasks (Known answers).",
    ),
    "pace": ("Pace", "When a judgment is marked as too fast to have been read. None is refused."),
    "selection": ("Which completions are shown", "Chosen from those that the model sampled."),
    "model_annotators": (
        "Labels by models",
        "Marked everywhere, and not trained on or exported unless asked.",
    ),
    "review": ("Review queue", "Which tasks leads are asked to look at."),
    "arena": ("Arena", "Blind comparisons of two versions of the model."),
    "freshness": ("Freshness", "What becomes of ready tasks when a newer version is live."),
    "withdrawals": ("Withdrawals", "What becomes of tasks whose judgments are taken out."),
    "webhooks": ("Webhooks", "How other programs are told of events."),
    "cost": ("Cost", "What annotators' time costs, for the page Throughput."),
    "reliability": (
        "Reliability",
        "How far annotators are relied on, and how judgments become one label.",
    ),
    "alarms": ("Alarms", "When the page Overview says that something wants a lead."),
    "export": ("Export", "How data leaves the project."),
    "endpoints": (
        "Models behind servers",
        "Some of a task's completions may come from other models (rankloop policies add).",
    ),
}

FIELDS: dict[str, SettingWords] = {
    "page.layout": SettingWords("Layout", "Annotators may choose another for themselves."),
    "page.strength": SettingWords(
        "Ask how much better the better one is", "Only where a task has two completions."
    ),
    "page.criteria": SettingWords(
        "Criteria", "Questions about each completion: 1 to 7, or yes and no."
    ),
    "page.flags": SettingWords("Flags", "What an annotator may say is wrong with a task."),
    "page.rationale": SettingWords("Rationale", "A field for why they ranked so."),
    "page.rewrites": SettingWords(
        "Let annotators rewrite completions", "Rewrites are kept as demonstrations."
    ),
    "page.own_prompts": SettingWords("Let annotators write prompts"),
    "assignment.strategy": SettingWords(
        "Order of the queue",
        "Priority: newest version first. Breadth: tasks with the fewest judgments first. Depth: "
        "those with the most first, so that tasks are finished one after the other.",
    ),
    "assignment.pool_shares": SettingWords(
        "Shares of pools",
        "Percent of new tasks kept to each pool of annotators; the rest is for everyone.",
    ),
    "assignment.most_judgments": SettingWords(
        "Most judgments of one annotator", "0: no cap. A cap keeps one person from dominating."
    ),
    "gold.rate": SettingWords(
        "Gold tasks", "Of an annotator's tasks, while there are gold tasks left for them."
    ),
    "gold.feedback": SettingWords(
        "Tell annotators afterwards whether they agreed with the known answer"
    ),
    "gold.repeat_rate": SettingWords(
        "Repeats", "Of an annotator's tasks, that repeat an earlier one of their own."
    ),
    "gold.repeat_after": SettingWords(
        "Judgments between a task and its repeat", "At least so many."
    ),
    "qualification.pass_mark": SettingWords(
        "Pass mark", "Of all pairs in the test; a tie on one side counts half."
    ),
    "qualification.attempts": SettingWords("Attempts"),
    "pace.fastest_reading": SettingWords(
        "Fastest reading", "Words a minute, over prompt and completions. People read about 240."
    ),
    "pace.shortest": SettingWords("Shortest time", "Milliseconds; a quicker judgment is marked."),
    "selection.strategy": SettingWords("Strategy"),
    "selection.sampled": SettingWords(
        "Completions sampled for each that is shown", "1 to 8. Not used by random."
    ),
    "selection.random_slice": SettingWords(
        "Random slice", "Of tasks chosen at random all the same, for unbiased figures."
    ),
    "model_annotators.reward_model": SettingWords("The reward model labels tasks ahead of people"),
    "model_annotators.confidence": SettingWords(
        "Confidence from which no person is asked", "Calibrated; 50 to 100."
    ),
    "model_annotators.audit": SettingWords(
        "Audit", "Of the tasks it took that people judge all the same."
    ),
    "model_annotators.judge": SettingWords(
        "LM judge", "Empty for none, likelihood, or the address of an OpenAI-compatible server."
    ),
    "model_annotators.judge_model": SettingWords(
        "Model of the server", "Empty: the first that it has."
    ),
    "model_annotators.judge_instruction": SettingWords(
        "Instruction for the LM judge", "It reads this before the conversation."
    ),
    "model_annotators.judge_timeout": SettingWords(
        "Timeout", "Seconds after which a server's answer is given up."
    ),
    "model_annotators.calibration_judgments": SettingWords(
        "Judgments to calibrate on", "Of people, the newest so many."
    ),
    "model_annotators.calibration_pairs": SettingWords(
        "Fewest pairs to calibrate on", "With fewer, no model takes a task."
    ),
    "model_annotators.tasks_at_once": SettingWords(
        "Tasks at once", "That a model judges between two looks at everything else."
    ),
    "model_annotators.train": SettingWords("Train on the tasks that models took, too"),
    "review.low_agreement": SettingWords(
        "Low agreement", "Tasks whose judgments agree less are reviewed."
    ),
    "review.model_disagreement": SettingWords(
        "Reward model against the label", "Surer than this, the task is reviewed."
    ),
    "review.newest_judgments": SettingWords(
        "Judgments looked through", "The newest so many, for tasks of low agreement."
    ),
    "arena.share": SettingWords("Arena tasks", "Of new tasks."),
    "arena.gate": SettingWords(
        "Publish only if people preferred the live version to the one before it"
    ),
    "freshness.withdraw": SettingWords(
        "Withdraw tasks of older versions once the live one has enough"
    ),
    "freshness.kept_share": SettingWords("Kept all the same", "For regression."),
    "freshness.age_of_judgments": SettingWords(
        "Judgments for the age of the pool", "The newest so many, over which the mean is taken."
    ),
    "withdrawals.requeue": SettingWords(
        "Ask others instead", "A task whose judgment is withdrawn goes back to the queue."
    ),
    "webhooks.timeout": SettingWords("Seconds to wait for an answer"),
    "webhooks.first_wait": SettingWords(
        "Seconds before the second attempt", "Each wait after it is twice as long."
    ),
    "webhooks.longest_wait": SettingWords("Seconds between two attempts, at most"),
    "webhooks.give_up_after": SettingWords("Hours after which a delivery is given up"),
    "webhooks.kept_days": SettingWords("Days for which what became of a delivery is kept"),
    "reliability.reliability_weights": SettingWords(
        "Train by reliability weights",
        "A ranking counts in the reward model's loss as far as its annotator is relied on.",
    ),
    "reliability.consolidation": SettingWords(
        "One label a task for training",
        "Rounds learn from a label made of the task's judgments. None: from each judgment.",
    ),
    "reliability.prior_accuracy": SettingWords(
        "Right comparisons before any is seen", "What every annotator is credited with."
    ),
    "reliability.prior_comparisons": SettingWords(
        "Comparisons that this credit is worth", "With more, few judgments move the weight less."
    ),
    "reliability.unseen_votes": SettingWords(
        "Votes credited to a pair's outcomes", "For the uncertainty of majorities."
    ),
    "reliability.score_precision": SettingWords("Precision of the prior on Bradley-Terry scores"),
    "reliability.gamma_shape": SettingWords("Shape of the prior on Plackett-Luce strengths"),
    "reliability.label_error": SettingWords(
        "Likely label error from", "The reward model's chance of the contrary; 50 to 100."
    ),
    "reliability.newest_judgments": SettingWords(
        "Judgments for the weights on the page Annotators", "The newest so many."
    ),
    "cost.hourly_rate": SettingWords(
        "Paid for an hour of active time", "Breaks are not counted. 0: no cost is shown."
    ),
    "cost.currency": SettingWords("Currency"),
    "alarms.gold": SettingWords(
        "Gold, right at least", "Of an annotator's pairs on gold tasks; below it they are named."
    ),
    "alarms.gold_tasks": SettingWords(
        "Gold tasks before that is said", "An annotator must have judged so many."
    ),
    "alarms.fast": SettingWords(
        "Too fast, at most", "Of an annotator's judgments; above it they are named."
    ),
    "alarms.fast_judgments": SettingWords(
        "Judgments before that is said", "Of fewer, a share says little."
    ),
    "alarms.alpha": SettingWords(
        "Krippendorff's alpha, at least", "On pairs. 0 is what chance gives, 1 full agreement."
    ),
    "alarms.stale": SettingWords("Stale tasks, at most", "Of ready tasks."),
    "alarms.ready_tasks": SettingWords(
        "Ready tasks, at least", "With fewer, annotators will run out."
    ),
    "alarms.minutes_between_looks": SettingWords(
        "Minutes between two looks", "Where a webhook is told of alarms."
    ),
    "export.validation_share": SettingWords(
        "Share for validation",
        "Of the training prompts; whole prompts, always the same. Held-out prompts are the test.",
    ),
    "export.prompts_at_once": SettingWords(
        "Prompts read at once", "Fewer need less memory, more are faster."
    ),
    "export.rows_at_once": SettingWords(
        "Rows written at once", "Of Parquet and Arrow files. Fewer need less memory."
    ),
    "endpoints.share": SettingWords(
        "Share of completions", "Of a task's; at least one is always the live version's."
    ),
    "endpoints.patience": SettingWords("Seconds to wait", "Then the live version answers instead."),
    "endpoints.pause": SettingWords("Seconds to leave a server alone that failed"),
}


def words_of(section: str, field: str) -> SettingWords:
    """Return the words of a setting; its own name where nobody has written any yet."""
    named = SettingWords(field.replace("_", " ").capitalize())
    return FIELDS.get(f"{section}.{field}", named)
