"""What a round's reward models think of the labels that they were not fitted to.

The training process writes them beside the round's checkpoints, the review queue reads them; the
file is the only thing that passes between the two.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd
import pyarrow
import pyarrow.parquet
from sqlmodel import Session, col, select

from storage import blobs
from storage.errors import Unavailable
from storage.tables import Round

ARTEFACT = "out_of_fold"  # its name among a round's artefacts
_FILE = "pairs.parquet"
_SCHEMA = pyarrow.schema(
    [
        ("judgment_id", pyarrow.int64()),
        ("better", pyarrow.int64()),
        ("worse", pyarrow.int64()),
        ("probability", pyarrow.float64()),
    ]
)


@dataclass(frozen=True)
class UnseenPair:
    """A pair of a judgment, and the probability σ(Δr) that a model gives to the judgment's order.

    `better` and `worse` are task positions as the annotator ranked them. The model that was asked
    was fitted without the judgment's prompt.
    """

    judgment_id: int
    better: int
    worse: int
    probability: float


def write_unseen_pairs(home: Path, uri: str, pairs: Sequence[UnseenPair]) -> None:
    """Write the pairs under `uri`, whole or not at all."""
    rows = pd.DataFrame([asdict(pair) for pair in pairs], columns=_SCHEMA.names)
    with blobs.write_folder(home, uri) as folder:
        table = pyarrow.Table.from_pandas(rows, schema=_SCHEMA, preserve_index=False)
        pyarrow.parquet.write_table(table, folder / _FILE)


def read_unseen_pairs(home: Path, uri: str) -> pd.DataFrame:
    """Return one row a pair, columns as the fields of `UnseenPair`; raise `Unavailable`."""
    folder = blobs.checked_path(home, uri)
    try:
        table = pyarrow.parquet.read_table(folder / _FILE)
    except (OSError, pyarrow.ArrowException) as error:
        raise Unavailable(
            f"The file {uri}/{_FILE} cannot be read ({error}); restore it from a backup."
        ) from error
    return pd.DataFrame({name: table[name].to_pylist() for name in _SCHEMA.names})


def newest_unseen_pairs(session: Session, *, project_id: int, home: Path) -> pd.DataFrame:
    """Return the pairs of the newest round that has them; none where there are none, or lost.

    A round has them once its reward model is trained, whatever became of it afterwards. While
    rankings are few they cover every ranking of the round; with many, a fifth of them.
    """
    rounds = session.exec(
        select(Round.artefacts).where(Round.project_id == project_id).order_by(col(Round.id).desc())
    )
    uri = next((found[ARTEFACT] for found in rounds if ARTEFACT in found), None)
    if uri is not None:
        try:
            return read_unseen_pairs(home, uri)
        except Unavailable:
            # The queue has other reasons as well; a lost file must not close it.
            pass
    return pd.DataFrame(columns=_SCHEMA.names)
