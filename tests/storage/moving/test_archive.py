"""A backup's members are plain files of its folder, whatever an archive says of them."""

import hashlib
import io
import json
import tarfile
from pathlib import Path

import pytest

from storage.errors import RankloopError
from storage.moving.archive import read_manifest, unpack

SECRET = b"of somebody else"


def archive(folder: Path, member: tarfile.TarInfo, name: str) -> Path:
    """Write an archive whose manifest vouches for `name`, and which holds `member` under it."""
    files = {name: {"sha256": hashlib.sha256(SECRET).hexdigest(), "bytes": len(SECRET)}}
    content = json.dumps({"files": files}).encode()
    with tarfile.open(folder / "backup.tar", "w") as tar:
        tar.addfile(member)
        info = tarfile.TarInfo("manifest.json")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return folder / "backup.tar"


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.DIRTYPE]
)
@pytest.mark.parametrize("name", ["files/x", "../x", "/tmp/x", "files/../../x"])
def test_a_member_that_is_no_plain_file_is_not_taken_out(
    tmp_path: Path, kind: bytes, name: str
) -> None:
    (tmp_path / "secret").write_bytes(SECRET)
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, str(tmp_path / "secret")
    out = tmp_path / "out" / "inner"
    out.mkdir(parents=True)
    made = archive(tmp_path, member, name)
    with pytest.raises(RankloopError):
        unpack(made, read_manifest(made), out, progress=lambda what, share: None)
    assert [path for path in (tmp_path / "out").rglob("*") if path.is_file()] == []
    assert not any(path.is_symlink() for path in (tmp_path / "out").rglob("*"))
    assert (tmp_path / "secret").read_bytes() == SECRET
