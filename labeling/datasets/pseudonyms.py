"""What annotators are called in data that leaves the project."""

from hashlib import sha256

from storage.tables import Project


class Pseudonyms:
    """Name annotators alike in every export of a project, and by nothing that tells who it is."""

    def __init__(self, project: Project) -> None:
        """Name the annotators of this project."""
        # It leaves the database in no export: without it, no number of an account can be tried.
        self._secret = project.pseudonym_key
        self._names: dict[int, str] = {}

    def of(self, annotator_id: int) -> str:
        """Return the pseudonym of an account."""
        found = self._names.get(annotator_id)
        if found is None:
            digest = sha256(f"{self._secret}:{annotator_id}".encode()).hexdigest()
            found = self._names[annotator_id] = f"annotator-{digest[:12]}"
        return found
