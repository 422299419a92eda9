"""Time Label Studio's own JSON export: run by the Python of a virtual environment that has it.

label_studio_export.py ROWS OUT: ROWS are tasks as JSON lines, in Label Studio's shape. They are
stored in its SQLite database, then its export is asked for as the page's button does
(`/api/projects/ID/export?exportType=JSON`), within the process: no network is timed.
"""

import json
import os
import resource
import sys
import time

LABEL_CONFIG = """<View><Text name="prompt" value="$prompt"/><List name="answers" value="$items"/>
<Ranker name="ranking" toName="answers"><Bucket name="1"/><Bucket name="2"/><Bucket name="3"/>
<Bucket name="4"/></Ranker></View>"""


def main() -> None:
    """Print seconds, tasks and peak resident MiB as JSON."""
    rows, out = sys.argv[1:]
    _start()
    client, project, tasks = _filled(rows)
    began, spent = time.perf_counter(), time.process_time()
    answer = client.get(f"/api/projects/{project}/export?exportType=JSON")
    with open(out, "wb") as file:
        for part in answer.streaming_content:
            file.write(part)
    seconds, spent = time.perf_counter() - began, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    with open(out, encoding="utf-8") as file:
        assert len(json.load(file)) == tasks
    print(json.dumps({"seconds": seconds, "cpu": spent, "tasks": tasks, "peak_mib": peak}))


def _start() -> None:
    import label_studio

    sys.path.insert(0, os.path.dirname(label_studio.__file__))
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "core.settings.label_studio")
    os.environ.setdefault("DEBUG", "false")
    import django

    django.setup()
    from django.core.management import call_command

    call_command("migrate", verbosity=0, interactive=False)


def _filled(rows):
    from organizations.models import Organization
    from projects.models import Project
    from rest_framework.test import APIClient
    from tasks.models import Annotation, Task
    from users.models import User

    user = User.objects.create_user(f"lead-{time.time_ns()}@example.org", "password")
    organization = Organization.create_organization(created_by=user, title="benchmark")
    user.active_organization = organization
    user.save()
    project = Project.objects.create(
        title="export", label_config=LABEL_CONFIG, created_by=user, organization=organization
    )
    stored = 0
    with open(rows, encoding="utf-8") as file:
        given = [json.loads(line) for line in file]
    for start in range(0, len(given), 1000):
        some = given[start : start + 1000]
        tasks = Task.objects.bulk_create(
            Task(data=row["data"], project=project, is_labeled=True, total_annotations=1)
            for row in some
        )
        Annotation.objects.bulk_create(
            Annotation(
                task=task,
                project=project,
                completed_by=user,
                result=annotation["result"],
                lead_time=annotation["lead_time"],
            )
            for task, row in zip(tasks, some, strict=True)
            for annotation in row["annotations"]
        )
        stored += len(some)
    client = APIClient()
    client.force_authenticate(user)
    return client, project.id, stored


if __name__ == "__main__":
    main()
