"""The navigation, and nothing else."""

from pathlib import Path

import streamlit as st

from labeling.keys import key_of
from labeling.permissions import Action, allows, role_of
from storage.tables import Role
from ui import page_links, process, session, unsaved
from ui.language_choice import language_pages
from ui.plain_text import plain
from ui.views import account as account_page
from ui.views import (
    accounts,
    agreement,
    annotators,
    audit,
    export,
    guidelines,
    history,
    judgments_behind,
    labeling_settings,
    no_business,
    overview,
    own_prompts,
    qualification,
    rank,
    review,
    rounds,
    throughput,
    webhooks,
    withdrawals,
)

HERE = Path(__file__).parent

st.set_page_config(page_title="Rankloop", page_icon=str(HERE / "icon.svg"), layout="wide")
st.html(HERE / "app.css")
st.logo(str(HERE / "logo.svg"), size="large")


@session.trouble_told()
def _navigate() -> None:
    account = session.require_account()
    words = session.words()
    own = [
        st.Page(account_page.show, title=words.say("account.title"), url_path="account"),
        *language_pages(words),
        st.Page(session.sign_out, title=words.say("sign_out"), url_path="sign-out"),
    ]
    here = process.project_id()
    role = role_of(account, here)
    if role is None:
        only = [no_business.page(words)]
        if people := accounts.page(account, words):
            only.append(people)
        st.navigation({"": only, plain(account.name): own}, position="top").run()
        return
    if role is not Role.ANNOTATOR:
        unsaved.keep(account_id=key_of(account), project_id=here)
    # An admin may be all there is: whoever has just installed it begins by ranking.
    leading = role in (Role.LEAD, Role.ENGINEER)
    main = {
        "rank": rank.page(words, first=not leading),
        "judgments": st.Page(
            history.show, title=history.title(account, words), url_path="judgments"
        ),
    }
    if own_prompts.allowed(account):
        main["write"] = st.Page(own_prompts.show, title=words.say("write.title"), url_path="write")
    main["guidelines"] = st.Page(
        guidelines.show, title=words.say("guidelines.title"), url_path="guidelines"
    )
    main["rounds"] = st.Page(rounds.show, title=words.say("rounds.title"), url_path="rounds")
    known = qualification.page(account, words)
    quality_pages, data, lead = {}, {}, {}
    if allows(account, Action.SEE_QUALITY, project_id=here):
        name = "start" if leading else "overview"
        first = st.Page(overview.show, title="Overview", url_path=name, default=leading)
        main = {"overview": first, **main}
        quality_pages = {
            "agreement": st.Page(agreement.show, title="Agreement", url_path="agreement"),
            "annotators": st.Page(annotators.show, title="Annotators", url_path="annotators"),
            "all-judgments": st.Page(
                judgments_behind.show, title="All judgments", url_path="all-judgments"
            ),
            "throughput": st.Page(throughput.show, title="Throughput", url_path="throughput"),
        }
    if allows(account, Action.REVIEW, project_id=here):
        main["review"] = st.Page(review.show, title="Review", url_path="review")
    if allows(account, Action.EXPORT, project_id=here):
        data["export"] = st.Page(export.show, title="Export", url_path="export")
    if allows(account, Action.WITHDRAW, project_id=here):
        data["withdrawals"] = st.Page(withdrawals.show, title="Withdrawals", url_path="withdrawals")
    if known:
        (quality_pages if quality_pages else main)["known-answers"] = known
    if allows(account, Action.CHANGE_LABELING, project_id=here):
        lead["settings"] = st.Page(labeling_settings.show, title="Settings", url_path="settings")
    if allows(account, Action.MANAGE_WEBHOOKS, project_id=here):
        lead["webhooks"] = st.Page(webhooks.show, title="Webhooks", url_path="webhooks")
    if people := accounts.page(account, words):
        lead["accounts"] = people
    if allows(account, Action.SEE_AUDIT, project_id=None):
        lead["audit"] = st.Page(audit.show, title=words.say("audit.title"), url_path="audit")
    # The first page has the bare address: its own name leads there, too.
    shown, name = (overview.show, "overview") if leading else (rank.show, "rank")
    also = st.Page(shown, title=name.capitalize(), url_path=name, visibility="hidden")
    page_links.remember({**main, **quality_pages, **data, **lead})
    sections = {"": main, "Quality": quality_pages, "Data": data, "Project": lead}
    menu = {title: list(pages.values()) for title, pages in sections.items() if pages}
    menu[""].append(also)
    st.navigation({**menu, plain(account.name): own}, position="top").run()


_navigate()
