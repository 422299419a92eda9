"""Accounts of annotators who came with a file: one for each name of a source, never a real one."""

import hashlib

from sqlmodel import Session, select

from labeling.imports.preference_rows.imported import ImportedAnnotator
from labeling.keys import key_of
from storage.errors import BadInput, Conflict
from storage.tables import Account, AccountKind, Role

LONGEST_SOURCE = 36
UNNAMED = "annotator without a name"


def valid_source(source: str) -> str:
    """Return what a source may be called; raise `BadInput` where it does not fit."""
    found = " ".join(source.split())
    if not found or len(found) > LONGEST_SOURCE or not found.isprintable():
        raise BadInput(
            f"The name of a source must have 1 to {LONGEST_SOURCE} printable characters."
        )
    return found


class ImportedAccounts:
    """Finds, or makes, the accounts of a source's annotators.

    With `pseudonymous`, a name is kept only as a hash: the same in every import of the source.
    """

    def __init__(self, session: Session, *, source: str, pseudonymous: bool = False) -> None:
        """Look nothing up yet."""
        self.session = session
        self.source = source
        self.pseudonymous = pseudonymous
        self._ids: dict[tuple[str, AccountKind], int] = {}

    def id_of(self, annotator: ImportedAnnotator) -> int:
        """Return the account's id; raise `Conflict` where its name is a real account's."""
        key = (annotator.name, annotator.kind)
        if key not in self._ids:
            self._ids[key] = self._found_or_made(annotator)
        return self._ids[key]

    @property
    def count(self) -> int:
        """Return how many annotators were asked for."""
        return len(self._ids)

    def _found_or_made(self, annotator: ImportedAnnotator) -> int:
        name = self._name(annotator)
        account = self.session.exec(select(Account).where(Account.name == name)).first()
        if account is not None:
            if account.imported_from == self.source and account.kind is annotator.kind:
                return key_of(account)
            raise Conflict(
                f"There is an account named {name} already that did not come with this source; "
                "choose another name for the source with --source."
            )
        account = Account(
            name=name, role=Role.ANNOTATOR, kind=annotator.kind, imported_from=self.source
        )
        self.session.add(account)
        self.session.flush()
        return key_of(account)

    def _name(self, annotator: ImportedAnnotator) -> str:
        name = annotator.name
        if name and self.pseudonymous:
            digest = hashlib.sha256(f"{self.source}\n{name}".encode()).hexdigest()
            name = f"annotator-{digest[:12]}"
        kind = "" if annotator.kind is AccountKind.PERSON else f", {annotator.kind}"
        return f"{name or UNNAMED} ({self.source}{kind})"
