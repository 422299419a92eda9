"""A lease on a project, held by the test itself."""

from reward.running.lease import Lease, acquire
from reward.running.runtime import Runtime
from storage.engine import writing


def held_lease(runtime: Runtime) -> Lease:
    """Acquire the project's lease for ten minutes."""
    with writing(runtime.engine) as session:
        lease = acquire(
            session,
            project_id=runtime.project_id,
            owner="test",
            seconds=600,
            host="here",
            pid=1,
            device="cpu",
        )
    assert lease is not None
    return lease
