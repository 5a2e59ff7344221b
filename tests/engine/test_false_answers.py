"""Answers that say what did not happen: the file arrives, or the same command finds it later."""

from collections.abc import Callable
from typing import Any

import pytest
from engine_rig import KIB, Rig

from cavatica_upload import UploadGone
from tests.cli.drifting_proxy import Drift, DriftingProxy, Reply, failure, in_json

COMPLETE = ("POST", "/upload/multipart/{id}/complete")
START = ("POST", "/upload/multipart")
LIST = ("GET", "/upload/multipart")
FILES = ("GET", "/files")
SIZE = 3 * KIB


def once(change: Callable[[Reply], None]) -> Callable[[Reply], None]:
    """Change the first answer only."""
    changes = [change]

    def apply(reply: Reply) -> None:
        if changes:
            changes.pop()(reply)

    return apply


def refuse(status: int, code: int) -> Callable[[Reply], None]:
    """Say that what was done was refused."""

    def apply(reply: Reply) -> None:
        error = failure(status, code)
        reply.status, reply.headers, reply.body = error.status, error.headers, error.body

    return apply


@pytest.mark.parametrize(("status", "code"), [(429, 1001), (503, 0), (503, 8000), (409, 8007), (404, 8003)])
def test_completion_that_is_said_to_be_refused(rig: Rig, proxy: DriftingProxy, status: int, code: int) -> None:
    """If a completion is refused and done all the same, the file is proved by its bytes, and nothing is sent twice."""
    path = rig.file(SIZE)
    proxy.drift = Drift(*COMPLETE, once(refuse(status, code)))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == SIZE
    assert rig.mock.uploads() == []


def test_file_that_is_not_listed_yet_is_found_by_the_next_run(rig: Rig, proxy: DriftingProxy) -> None:
    """If the answer to a completion is lost and the file is not listed yet, the same command finds it later."""
    path = rig.file(SIZE)
    proxy.lost = Drift(*COMPLETE, lambda _: None)
    proxy.drift = Drift(*FILES, in_json(lambda _: {"items": [], "links": []}))
    with pytest.raises(UploadGone):
        rig.upload(path, part_size=KIB)
    proxy.drift = None
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.mock.bytes_received == SIZE


def test_completion_with_an_impossible_id(rig: Rig, proxy: DriftingProxy) -> None:
    """If a completion names a file that cannot be requested and whose link differs, the file is found by its name."""
    path = rig.file(SIZE)
    proxy.drift = Drift(*COMPLETE, in_json(lambda file: {**file, "id": "a" * 50_000}))
    receipt = rig.upload(path, part_size=KIB)
    rig.assert_whole(receipt, path)


def test_listed_upload_that_is_gone_is_not_the_lost_start(rig: Rig, proxy: DriftingProxy) -> None:
    """An upload that ended after it was listed does not keep a lost start from being found."""
    path = rig.file(SIZE)

    def with_ended(page: dict[str, Any]) -> dict[str, Any]:
        return {
            **page,
            "items": [{**item, "upload_id": f"ended{item['upload_id']}"} for item in page["items"]] + page["items"],
        }

    proxy.lost = Drift(*START, lambda _: None)
    proxy.drift = Drift(*LIST, in_json(with_ended))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1


@pytest.mark.parametrize("code", [0, 1000, 8000])
def test_failed_start_that_was_done(rig: Rig, proxy: DriftingProxy, code: int) -> None:
    """A 500 may have had an effect, whatever its code: the upload is looked for, and no second one stays open."""
    path = rig.file(SIZE)
    proxy.drift = Drift(*START, once(refuse(500, code)))
    rig.assert_whole(rig.upload(path, part_size=KIB), path)
    assert rig.calls["startUpload"] == 1
    assert rig.mock.uploads() == []
