"""Lists: pages add up, filters filter, and every resource says where it is."""

from urllib.parse import urlsplit

from tests.contract import rules
from tests.contract.model import asserts
from tests.contract.requests.client import Claim, RawClient, claim

CLAIMS: list[Claim] = []


@claim(CLAIMS)
def pages_add_up(raw: RawClient) -> None:
    """The pages of a list add up to its total, each item once, in pages of any size."""
    known = raw.known
    folder = known.new_folder()
    uploads = set()
    for _ in range(5):
        uploads.add(known.start().id)
        name = known.next_name()
        raw.api.call("createFolder", body={"parent": folder, "name": name, "type": "folder"}).expect(200, 201)
    for limit in (1, 2, 4, 5, 100):
        seen = {item["upload_id"] for item in asserts.pages(raw.api, "listUploads", limit, "upload_id")}
        assert uploads <= seen, f"{len(uploads - seen)} of the open uploads are on no page of {limit}"
        for operation, arguments in (("listFiles", {"query": {"parent": folder}}), ("listFolder", {"file_id": folder})):
            items = asserts.pages(raw.api, operation, limit, "id", **arguments)
            assert len(items) == 5, f"{operation}: {len(items)} items on all pages of {limit}, 5 are right"


@claim(CLAIMS)
def totals(raw: RawClient) -> None:
    """A list says how many there are in all, on every page and beyond the last."""
    folder = raw.known.new_folder()
    for number in range(3):
        body = {"parent": folder, "name": f"f{number}", "type": "folder"}
        raw.api.call("createFolder", body=body).expect(200, 201)
    for query in ({}, {"limit": 1}, {"offset": 2}, {"offset": 3}, {"offset": 2147483647}):
        answer = raw.api.call("listFolder", file_id=folder, query=query).expect(200)
        if answer.headers.get("x-total-matching-query") != "3":
            raise answer.broken("total", f"{answer.headers.get('x-total-matching-query')} in all where 3 is right")


@claim(CLAIMS)
def filters(raw: RawClient) -> None:
    """A list by name has what has exactly this name; a list of a place has nothing of another."""
    known = raw.known
    one, two = known.new_folder(), known.new_folder()
    for parent, name in ((one, "a"), (one, "ab"), (one, "A"), (two, "a")):
        raw.api.call("createFolder", body={"parent": parent, "name": name, "type": "folder"}).expect(200, 201)
    answer = raw.api.call("listFiles", query={"parent": one, "name": "a"}).expect(200)
    asserts.same(answer, "filter_by_name", [item["name"] for item in answer.json()["items"]], ["a"])
    asserts.same(answer, "total", answer.headers.get("x-total-matching-query", "1"), "1")
    answer = raw.api.call("listFiles", query={"parent": two}).expect(200)
    asserts.same(answer, "filter_by_place", len(answer.json()["items"]), 1)
    answer = raw.api.call("listFiles", query={"parent": one, "name": "nobody"}).expect(200)
    asserts.same(answer, "filter_by_name", answer.json()["items"], [])


@claim(CLAIMS)
def hrefs_lead_back(raw: RawClient) -> None:
    """Every `href` is an absolute URL of this server, and leads to the resource that it stands in."""
    upload = raw.known.start()
    file = raw.known.complete(3)
    answers = [
        raw.api.call("getUpload", upload_id=upload.id).expect(200),
        raw.api.call("getFile", file_id=file["id"]).expect(200),
        raw.api.call("listUploads", query={"limit": 1}).expect(200),
        raw.api.call("listFiles", query={"project": raw.target.project, "limit": 1}).expect(200),
    ]
    for answer in answers:
        shown = answer.json()
        hrefs = [shown["href"], *(item["href"] for item in shown.get("items", ()) if "href" in item)]
        hrefs += [link["href"] for link in shown.get("links", ())]
        for href in hrefs:
            parts = urlsplit(href)
            if not raw.target.own and parts.netloc != urlsplit(raw.target.base_url).netloc:
                continue  # a real platform may stand behind another name
            path = parts.path.removeprefix(raw.api.prefix) + (f"?{parts.query}" if parts.query else "")
            followed = raw.api.send("GET", path)
            if followed.status != 200 or followed.operation is None:
                raise followed.broken("href", f"the href {href} leads nowhere")


@claim(CLAIMS)
def free_call(raw: RawClient) -> None:
    """Asking for the rate limit costs nothing, any other call costs one, and the body says what the headers say."""
    asked = [raw.api.call("getRateLimit").expect(200) for _ in range(3)]
    if len({answer.headers["x-ratelimit-remaining"] for answer in asked}) != 1:
        raise asked[-1].broken("free_call", "asking was counted")
    rate, headers = asked[-1].json()["rate"], asked[-1].headers
    for key in ("limit", "remaining", "reset"):
        asserts.same(asked[-1], "rate_limit_body", str(rate[key]), headers[f"x-ratelimit-{key}"])
    if rules.unlimited(asked[-1]):
        return
    raw.api.call("listUploads").expect(200)
    left = raw.api.call("getRateLimit").expect(200).json()["rate"]["remaining"]
    asserts.same(asked[-1], "rate_limit_counts", left, rate["remaining"] - 1)


@claim(CLAIMS)
def listed_means_open(raw: RawClient) -> None:
    """What a list says of an upload is what the upload says of itself."""
    upload = raw.known.start(7, md5="9e107d9d372bb6826bd81d3542a419d6")
    detail = raw.api.call("getUpload", upload_id=upload.id).expect(200)
    listed = asserts.pages(raw.api, "listUploads", 100, "upload_id")
    item = next(item for item in listed if item["upload_id"] == upload.id)
    for key in item.keys() & detail.json().keys():
        asserts.same(detail, "list_and_detail", detail.json()[key], item[key])
    asserts.same(detail, "initiated", detail.json()["initiated"].endswith("Z"), True)
