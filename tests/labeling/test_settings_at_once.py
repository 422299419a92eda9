"""Values of many parts that two change at once: neither part is lost."""

from concurrent.futures import ThreadPoolExecutor, wait

from sqlalchemy import Engine

from labeling.endpoint_policies import (
    Endpoint,
    Usage,
    add_endpoint_policy,
    endpoint_of,
    endpoint_policy,
    note_usage,
    switch_endpoint,
    usage_of,
)
from labeling.keys import key_of
from labeling.labeling_settings import change_labeling, labeling_settings
from labeling.people.roles import change_project_role
from storage.engine import reading, writing
from storage.tables import Account, Project, Role


def a_project(engine: Engine) -> int:
    with writing(engine) as session:
        project = Project(name="default")
        session.add(project)
    return key_of(project)


def test_two_sections_that_are_changed_at_once_are_both_kept(postgres_engine: Engine) -> None:
    here = a_project(postgres_engine)

    def change(section: str, **values: object) -> None:
        with writing(postgres_engine) as session:
            project = session.get_one(Project, here)
            change_labeling(session, project=project, by=None, section=section, values=values)

    with ThreadPoolExecutor(1) as threads, writing(postgres_engine) as session:
        project = session.get_one(Project, here)
        change("gold", rate=0.25)
        change_labeling(
            session, project=project, by=None, section="pace", values={"shortest": 2500}
        )
        session.flush()
        third = threads.submit(change, "qualification", attempts=7)
        wait([third], timeout=1)
        session.commit()
        third.result(10)
    with reading(postgres_engine) as session:
        settings = labeling_settings(session.get_one(Project, here))
    found = (settings.gold.rate, settings.pace.shortest, settings.qualification.attempts)
    assert found == (0.25, 2500, 7)


def test_what_a_server_was_asked_for_outlives_its_being_switched_off(
    postgres_engine: Engine,
) -> None:
    here = a_project(postgres_engine)
    with writing(postgres_engine) as session:
        policy = add_endpoint_policy(
            session,
            project_id=here,
            name="far",
            endpoint=Endpoint(url="http://127.0.0.1:9/v1", model="m"),
            by=Account(name="shell", role=Role.ADMIN),
        )
    with writing(postgres_engine) as session:
        looked_at = endpoint_policy(session, project_id=here, name="far")
        with writing(postgres_engine) as worker:
            note_usage(worker, policy_id=key_of(policy), usage=Usage(requests=3, cost=1.5))
        assert looked_at is switch_endpoint(
            session, project_id=here, name="far", active=False, by=None
        )
    with reading(postgres_engine) as session:
        found = endpoint_policy(session, project_id=here, name="far")
        assert not endpoint_of(found).active
        assert (usage_of(found).requests, usage_of(found).cost) == (3, 1.5)


def test_roles_in_two_projects_that_are_given_at_once_are_both_kept(
    postgres_engine: Engine,
) -> None:
    with writing(postgres_engine) as session:
        projects = [Project(name="one"), Project(name="two")]
        ada = Account(name="ada", role=Role.ANNOTATOR)
        session.add_all([*projects, ada])

    def give(project: Project, role: Role | None) -> None:
        with writing(postgres_engine) as session:
            change_project_role(session, account=ada, project=project, role=role, by=None)

    with ThreadPoolExecutor(1) as threads, writing(postgres_engine) as session:
        change_project_role(session, account=ada, project=projects[0], role=None, by=None)
        session.flush()
        second = threads.submit(give, projects[1], Role.LEAD)
        wait([second], timeout=1)
        session.commit()
        second.result(10)
    with reading(postgres_engine) as session:
        found = session.get_one(Account, ada.id).project_roles
    assert found == {str(projects[0].id): "", str(projects[1].id): "lead"}
