"""Ada, who has done all that an annotator and a lead can do, and left traces of herself in it."""

from sqlalchemy import Engine, select

from labeling.accounts import authenticate, create_account
from labeling.alarm_events import RAISED
from labeling.events import from_address, record
from labeling.judging.demonstrations import add_demonstration
from labeling.judging.drafts import keep_draft
from labeling.judging.judgments import submit_judgment
from labeling.judging.own_prompts import add_own_prompt
from labeling.people.access_tokens import make_token
from labeling.people.failed_sign_ins import record_failure
from labeling.people.invitations import offer_new_password
from labeling.people.sign_ins import Browser, open_sign_in
from labeling.work_queue.pools import set_pool
from labeling.work_queue.putting_aside import skip_assignment
from storage.engine import reading, writing
from storage.tables import Account, Project, Prompt, Role, Round, Row
from tests.labeling.stage import Stage

NAME, PASSWORD = "Ada Lovelace", "correct horse battery"
HERE = Browser(address="192.0.2.77", user_agent="Firefox/140 (Babbage OS)")
SUBJECT = "https://id.example.org#ada-subject"
REASON, SKIPPED, DRAFT = "because my cousin wrote it", "call me at 555-0199", "half a thought"
TRACES = (NAME, HERE.address, HERE.user_agent, SUBJECT, REASON, SKIPPED, DRAFT, "ada's laptop")


def fill(stage: Stage) -> int:
    """Let Ada do everything; return her account's id."""
    for text in ("one", "two", "three", "four"):
        stage.add_task(text)
    admin = stage.account("root", Role.ADMIN)
    with writing(stage.engine) as session, from_address("192.0.2.1"):
        by = session.get_one(Account, admin)
        ada = create_account(session, name=NAME, role=Role.LEAD, password=PASSWORD, by=by)
        ada.oidc_subject = SUBJECT
        session.flush()
        stage.accounts[NAME] = ada
    stage.change("page", own_prompts=True)
    _sign_in(stage, ada)
    _work(stage, ada)
    _trace_in_rounds(stage, ada)
    return ada.id or 0


def _sign_in(stage: Stage, ada: Account) -> None:
    with writing(stage.engine) as session:
        record_failure(session, name=NAME, browser=HERE)
        authenticate(session, name=NAME, password=PASSWORD)
        open_sign_in(session, account_id=ada.id or 0, hours=1, browser=HERE)
        make_token(session, account=ada, name="ada's laptop", days=3, longest=9, by=ada)
        offer_new_password(session, account=ada, hours=1, by=None)


def _work(stage: Stage, ada: Account) -> None:
    me = ada.id or 0
    for number in range(2):
        task = stage.lend(NAME)
        with writing(stage.engine) as session:
            submit_judgment(
                session, assignment_id=task.assignment_id, annotator_id=me, ranks=[1, 2, 3, 4],
                milliseconds=10, nonce=f"ada {number}", rationale=REASON,
            )  # fmt: skip
    task = stage.lend(NAME)
    with writing(stage.engine) as session:
        skip_assignment(session, assignment_id=task.assignment_id, annotator_id=me, reason=SKIPPED)
    task = stage.lend(NAME)
    with writing(stage.engine) as session:
        keep_draft(session, assignment_id=task.assignment_id, annotator_id=me, draft={"why": DRAFT})
        project = session.get_one(Project, stage.project_id)
        prompt = session.scalars(select(Prompt)).first()
        assert prompt is not None
        add_demonstration(
            session, project=project, account=ada, prompt_id=prompt.id or 0, text="My answer."
        )
        add_own_prompt(
            session, project=project, account=ada, text="A prompt of mine?", answer="",
            nonce="own", heldout_share=0.0,
        )  # fmt: skip
        set_pool(session, project=project, account=ada, pool="verse", by=ada)


def _trace_in_rounds(stage: Stage, ada: Account) -> None:
    here, asked = stage.project_id, f"requested by {NAME}"
    with writing(stage.engine) as session:
        session.add(Round(project_id=here, number=1, reason=asked, requested_by_id=ada.id))
        for kind, personal, detail in (
            ("round.opened", {"reason": asked}, {"round": 1}),
            (RAISED, {"words": [f"{NAME} is right on 40% of the pairs."]}, {"alarm": "gold"}),
        ):
            record(
                session, project_id=here, account_id=None, kind=kind, personal=personal, **detail
            )


def whole_database(engine: Engine) -> str:
    """Return every row of every table as text."""
    with reading(engine) as session:
        return "\n".join(
            f"{table.name} {dict(row)}"
            for table in Row.metadata.sorted_tables
            for row in session.execute(select(table)).mappings()
        )
