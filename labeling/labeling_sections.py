"""The sections of labeling's settings: typed and checked fields, with defaults that work."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from labeling.datasets.snapshot_query import ConsolidationRule

Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]


class Section(BaseModel):
    """Frozen fields, and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Criterion(Section):
    """A question about each completion: 1–7 (`likert`) or yes/no (`check`)."""

    name: Name
    kind: Literal["likert", "check"] = "likert"
    question: str = ""


class PageSettings(Section):
    """What the task page offers."""

    #: side by side, one under the other, or one at a time
    layout: Literal["side-by-side", "stacked", "focus"] = "side-by-side"
    #: ask how much better the better of two is
    strength: bool = True
    criteria: tuple[Criterion, ...] = ()
    flags: tuple[Name, ...] = ("unsafe", "personal data", "not understandable", "other")
    rationale: Literal["off", "optional", "required"] = "optional"
    #: annotators may rewrite a completion as a demonstration
    rewrites: bool = True
    #: annotators may write prompts of their own
    own_prompts: bool = False


class AssignmentSettings(Section):
    """Who gets which task next."""

    #: newest policy and oldest task first; fewest judgments first; most judgments first
    strategy: Literal["priority", "breadth", "depth"] = "priority"
    #: of new tasks, the share that is kept to each pool; the rest is for everyone
    pool_shares: dict[Name, Share] = {}
    #: judgments that one annotator may give in the project (None: no cap)
    most_judgments: Annotated[int, Field(ge=1)] | None = None


class GoldSettings(Section):
    """Tasks with known answers, and repeats, mixed into the queue."""

    #: share of an annotator's tasks that are gold, while there are gold tasks left for them
    rate: Share = 0.05
    #: tell the annotator afterwards whether they agreed with the known answer
    feedback: bool = False
    #: share of an annotator's tasks that repeat an earlier one of their own
    repeat_rate: Share = 0.02
    #: judgments that lie between a task and its repeat, at least
    repeat_after: Annotated[int, Field(ge=1)] = 20


class QualificationSettings(Section):
    """The test before real work; in force where the project has qualification tasks."""

    #: share of pairs that must be right
    pass_mark: Share = 0.75
    attempts: Annotated[int, Field(ge=1)] = 2


class PaceSettings(Section):
    """When a judgment is marked as too fast to have been read; it is never refused."""

    #: words a minute over prompt and completions; far above what people read
    fastest_reading: Annotated[float, Field(gt=0)] = 1200.0
    #: milliseconds below which any judgment is marked
    shortest: Annotated[int, Field(ge=0)] = 1500


class SelectionSettings(Section):
    """Which of the sampled completions are shown."""

    strategy: Literal["random", "uncertainty", "information", "diversity"] = "random"
    #: completions sampled for each that is shown, where the strategy is not random
    sampled: Annotated[float, Field(ge=1.0, le=8.0)] = 2.0
    #: share of tasks that are chosen at random all the same, so that statistics stay unbiased
    random_slice: Share = 0.2


class ModelAnnotatorSettings(Section):
    """Labels by models; marked everywhere, never trained on or exported unless asked."""

    #: the reward model labels tasks ahead of people
    reward_model: bool = False
    #: calibrated probability of its ranking above which no person is asked
    confidence: Annotated[float, Field(ge=0.5, le=1.0)] = 0.8
    #: share of the tasks that it took which people judge all the same
    audit: Share = 0.1
    #: "" (none), "likelihood" (the backbone itself), or the URL of an OpenAI-compatible server
    judge: Annotated[str, StringConstraints(pattern=r"^(likelihood|https?://\S+)?$")] = ""
    #: the model that the server is asked for ("": its first)
    judge_model: str = ""
    #: what an LM judge is told before it reads the conversation
    judge_instruction: str = "Answer helpfully, truthfully and harmlessly."
    #: seconds after which a server's answer is given up
    judge_timeout: Annotated[float, Field(gt=0)] = 60.0
    #: judgments of people, newest first, that an LM judge is calibrated on
    calibration_judgments: Annotated[int, Field(ge=1)] = 50
    #: pairs of people without which no model is calibrated, and none takes a task
    calibration_pairs: Annotated[int, Field(ge=1)] = 30
    #: tasks that a model judges between two looks at everything else
    tasks_at_once: Annotated[int, Field(ge=1)] = 8
    #: train on the tasks that models took, too
    train: bool = False


class ReviewSettings(Section):
    """What goes to the leads' review queue."""

    #: pairwise agreement of a task's judgments below which it is reviewed
    low_agreement: Share = 0.5
    #: out-of-fold probability of the reward model against a label above which it is reviewed
    model_disagreement: Annotated[float, Field(ge=0.5, le=1.0)] = 0.9
    #: judgments, newest first, that are looked through for tasks of low agreement
    newest_judgments: Annotated[int, Field(ge=1)] = 5000


class ArenaSettings(Section):
    """Blind A/B tasks between policy versions."""

    #: share of new tasks that are arena tasks
    share: Share = 0.05
    #: a candidate is published only if people preferred the live policy to the one before it
    gate: bool = False


class FreshnessSettings(Section):
    """What becomes of ready tasks when a newer policy is live."""

    #: withdraw those of superseded policies once the live one has enough
    withdraw: bool = True
    #: share of them that stay, for regression
    kept_share: Share = 0.05
    #: newest judgments over which the pool's mean policy age is taken
    age_of_judgments: Annotated[int, Field(ge=1)] = 50


class CostSettings(Section):
    """What annotators' time costs, for the page Throughput."""

    #: paid for an hour of active time (0: no cost is shown)
    hourly_rate: Annotated[float, Field(ge=0.0)] = 0.0
    currency: Annotated[str, StringConstraints(strip_whitespace=True, max_length=10)] = "USD"


class AlarmSettings(Section):
    """When the page Overview says that something wants a lead."""

    #: share of pairs right on gold tasks below which an annotator is named
    gold: Share = 0.6
    #: gold tasks that an annotator must have judged before that is said
    gold_tasks: Annotated[int, Field(ge=1)] = 5
    #: share of an annotator's judgments marked as too fast above which they are named
    fast: Share = 0.25
    #: judgments that an annotator must have made before that is said
    fast_judgments: Annotated[int, Field(ge=1)] = 5
    #: Krippendorff's alpha on pairs below which guidelines are asked for
    alpha: Annotated[float, Field(ge=-1.0, lt=1.0)] = 0.1
    #: share of ready tasks that are of superseded policies above which it is said
    stale: Share = 0.5
    #: ready tasks below which it is said that annotators will run out
    ready_tasks: Annotated[int, Field(ge=0)] = 5
    #: minutes between two looks where a webhook is told of alarms
    minutes_between_looks: Annotated[float, Field(gt=0)] = 5.0


class ReliabilitySettings(Section):
    """How far annotators are relied on, and how their judgments become one label."""

    #: each ranking counts in the reward model's loss by its annotator's reliability weight
    reliability_weights: bool = False
    #: rounds learn from one label a task, made of its judgments by this rule; none: from each
    consolidation: ConsolidationRule = "none"
    #: share of right comparisons that an annotator is credited with before any is seen
    prior_accuracy: Annotated[float, Field(gt=0.5, lt=1.0)] = 0.8
    #: comparisons that this credit is worth: few judgments move the weight little
    prior_comparisons: Annotated[float, Field(gt=0)] = 20.0
    #: votes that a pair's outcomes are credited with together in the uncertainty of majorities
    unseen_votes: Annotated[float, Field(gt=0)] = 1.0
    #: precision of the normal prior on Bradley-Terry scores
    score_precision: Annotated[float, Field(gt=0)] = 1.0
    #: shape of the gamma prior on Plackett-Luce strengths
    gamma_shape: Annotated[float, Field(gt=1.0)] = 2.0
    #: out-of-fold probability of the reward model against a label above which it is listed
    label_error: Annotated[float, Field(ge=0.5, le=1.0)] = 0.9
    #: judgments, newest first, from which the page Annotators measures weights
    newest_judgments: Annotated[int, Field(ge=1)] = 50_000

    @property
    def prior_counts(self) -> tuple[float, float]:
        """Return the right and the wrong comparisons that are credited."""
        right = self.prior_comparisons * self.prior_accuracy
        return right, self.prior_comparisons - right


class ExportSettings(Section):
    """How data leaves the project; how much of it is in memory at once."""

    #: share of the training prompts whose rows an export calls validation
    validation_share: Annotated[float, Field(ge=0.0, le=0.5)] = 0.1
    #: prompts that are read from the database at once
    prompts_at_once: Annotated[int, Field(ge=1, le=10_000)] = 200
    #: rows that are written at once to Parquet and Arrow
    rows_at_once: Annotated[int, Field(ge=1, le=100_000)] = 1000


class WithdrawalSettings(Section):
    """What becomes of tasks whose judgments are withdrawn."""

    #: others are asked instead; the newest policy's tasks still come first
    requeue: bool = True


class WebhookSettings(Section):
    """How webhooks are told of events."""

    #: seconds after which an address that does not answer is given up for this time
    timeout: Annotated[float, Field(gt=0, le=60)] = 10.0
    #: seconds before the second attempt; each wait after it is twice as long
    first_wait: Annotated[float, Field(gt=0)] = 5.0
    #: seconds that are waited at most between two attempts
    longest_wait: Annotated[float, Field(gt=0)] = 6 * 3600.0
    #: hours after which a delivery is given up
    give_up_after: Annotated[float, Field(gt=0)] = 72.0
    #: days for which what became of a delivery is kept
    kept_days: Annotated[float, Field(gt=0)] = 30.0


class EndpointPolicySettings(Section):
    """Completions of models behind servers, among those of the live policy."""

    #: share of a task's completions that active servers are asked for
    share: Share = 0.0
    #: seconds after which the live policy answers instead
    patience: Annotated[float, Field(gt=0)] = 30.0
    #: seconds for which a server that failed is left alone
    pause: Annotated[float, Field(ge=0)] = 300.0
