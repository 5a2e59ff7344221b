"""Rules of an upload's life that are not kept."""

import json
import re
from typing import Any

from tests.contract.mutants.proxy import Ask, Reply, Way, answer, behaviour, request


def _reports(ask: Ask) -> list[Any] | None:
    body = ask.json()
    parts = body.get("parts") if isinstance(body, dict) else None
    return parts if isinstance(parts, list) else None


@behaviour
async def abort_keeps(ask: Ask, way: Way) -> Reply:
    """An aborted upload lives on."""
    if ask.operation == "abortUpload":
        shown = await way.on(Ask("GET", ask.target, ask.headers))
        return Reply(204, shown.headers).with_headers(content_type=None) if shown.status == 200 else shown
    return await way.on(ask)


@behaviour
async def aborted_can_be_reported(ask: Ask, way: Way) -> Reply:
    """Reports on an aborted upload are taken."""
    reply = await way.on(ask)
    if ask.operation == "abortUpload" and reply.status == 204:
        way.memory[ask.upload_id] = reply
    if ask.operation == "reportUploadedParts" and ask.upload_id in way.memory:
        return Reply(200, reply.headers)
    return reply


@behaviour
async def complete_keeps(ask: Ask, way: Way) -> Reply:
    """A completed upload can still be looked at."""
    if ask.operation == "completeUpload":
        shown = await way.on(Ask("GET", f"/v2/upload/multipart/{ask.upload_id}", ask.headers))
        if shown.status == 200:
            way.memory[ask.upload_id] = shown.body
    reply = await way.on(ask)
    if ask.operation == "getUpload" and reply.status == 404 and ask.upload_id in way.memory:
        return Reply(200, reply.headers, way.memory[ask.upload_id])
    return reply


@behaviour
async def parts_of_another(ask: Ask, way: Way) -> Reply:
    """The parts of another upload are shown among one's own."""
    reply = await way.on(ask)
    if ask.operation == "getUpload" and reply.status == 200 and "parts" in reply.json():
        document = reply.json()
        others = [parts for upload, parts in way.memory.items() if upload != ask.upload_id and parts]
        way.memory[ask.upload_id] = document["parts"]
        return reply.with_json({**document, "parts": document["parts"] + others[0][:1]}) if others else reply
    return reply


@answer("getUpload", 200)
def a_part_is_lost(reply: Reply) -> Reply:
    """The last of several parts is not listed."""
    if len(reply.json().get("parts", ())) > 1:
        return reply.with_json({**reply.json(), "parts": reply.json()["parts"][:-1]})
    return reply


@answer("getUpload", 200)
def a_part_is_doubled(reply: Reply) -> Reply:
    """The first part is listed twice."""
    if reply.json().get("parts"):
        parts = reply.json()["parts"]
        return reply.with_json({**reply.json(), "parts": [parts[0], *parts]})
    return reply


@request()
def parts_always_listed(ask: Ask) -> Ask:
    """Parts are listed although nobody asked."""
    return ask.with_target(f"{ask.target}?list_parts=true") if ask.operation == "getUpload" and not ask.query else ask


@behaviour
async def count_of_reports(ask: Ask, way: Way) -> Reply:
    """uploaded_parts_count counts reports, not parts."""
    reply = await way.on(ask)
    if ask.operation == "reportUploadedPart" and reply.status == 200:
        way.memory[ask.upload_id] = way.memory.get(ask.upload_id, 0) + 1
    if ask.operation == "getUpload" and reply.status == 200 and ask.upload_id in way.memory:
        count = max(way.memory[ask.upload_id], reply.json()["uploaded_parts_count"])
        return reply.with_json({**reply.json(), "uploaded_parts_count": count})
    return reply


@behaviour
async def bulk_in_pieces(ask: Ask, way: Way) -> Reply:
    """Of a list with a bad report the good ones before it are taken."""
    reports = _reports(ask)
    if ask.operation == "reportUploadedParts" and reports:
        for report in reports:
            reply = await way.on(ask.with_json({"parts": [report]}))
            if reply.status != 200:
                return reply
        return reply
    return await way.on(ask)


@behaviour
async def bulk_drops_the_last(ask: Ask, way: Way) -> Reply:
    """Of several reports the last is lost."""
    reports = _reports(ask)
    if ask.operation == "reportUploadedParts" and reports and len(reports) > 1:
        good = await way.on(ask)
        if good.status == 200 and len({str(report["part_number"]) for report in reports}) == len(reports):
            way.memory[ask.upload_id] = int(reports[-1]["part_number"])
        return good
    reply = await way.on(ask)
    if ask.operation == "getUpload" and reply.status == 200 and ask.upload_id in way.memory:
        document = reply.json()
        document["uploaded_parts_count"] -= 1
        lost = way.memory[ask.upload_id]
        document["parts"] = [part for part in document.get("parts", ()) if part["part_number"] != lost]
        return reply.with_json(document)
    return reply


@request()
def first_report_counts(ask: Ask) -> Ask:
    """Of two reports of a part in one list the first counts."""
    reports = _reports(ask)
    return ask.with_json({"parts": reports[::-1]}) if ask.operation == "reportUploadedParts" and reports else ask


@behaviour
async def later_reports_ignored(ask: Ask, way: Way) -> Reply:
    """A part that was reported once cannot be reported again; the server says that it was."""
    body = ask.json()
    if ask.operation == "reportUploadedPart" and isinstance(body, dict):
        key = ask.upload_id, str(body.get("part_number"))
        if key in way.memory and "response" in body:
            shown = await way.on(Ask("GET", f"/v2/upload/multipart/{ask.upload_id}", ask.headers))
            return shown.with_json(body) if shown.status == 200 else shown
        reply = await way.on(ask)
        if reply.status == 200:
            way.memory[key] = True
        return reply
    return await way.on(ask)


@behaviour
async def etags_are_ignored(ask: Ask, way: Way) -> Reply:
    """Completing takes any ETag."""
    reports = _reports(ask)
    if "/storage/" in ask.target and ask.method == "PUT":
        reply = await way.on(ask)
        key = [pair for pair in ask.query.split("&") if pair.startswith(("uploadId", "partNumber"))]
        way.memory["&".join(sorted(key))] = reply.headers.get("etag", "")
        return reply
    if ask.operation == "completeUpload" and reports:
        for report in reports:
            if isinstance(report, dict) and "response" in report:
                key_of = f"partNumber={report.get('part_number')}&uploadId={ask.upload_id}"
                if key_of in way.memory:
                    report["response"]["headers"]["ETag"] = way.memory[key_of]
        return await way.on(ask.with_json({"parts": reports}))
    return await way.on(ask)


@request()
def quotes_are_kept(ask: Ask) -> Ask:
    """An ETag with its quotes is another one than without."""
    body = re.sub(rb'"ETag": "\\"[^"\\]*\\""', b'"ETag": "quoted"', ask.body)
    return Ask(ask.method, ask.target, ask.headers, body)


@behaviour
async def half_files(ask: Ask, way: Way) -> Reply:
    """Completing succeeds although parts are missing."""
    reply = await way.on(ask)
    if ask.operation == "completeUpload" and reply.status == 409 and reply.json().get("code") == 8007:
        shown = await way.get(ask, f"/upload/multipart/{ask.upload_id}")
        file = {
            "href": "http://127.0.0.1/v2/files/" + "a" * 24, "path": "/Projects/x", "id": "a" * 24, "type": "file",
            "project": shown["project"], "name": shown["name"], "size": 0,
            "created_on": "2026-11-22T10:07:41Z", "modified_on": "2026-11-22T10:07:41Z",
        }  # fmt: skip
        return Reply(201, reply.headers, json.dumps(file).encode())
    return reply


@behaviour
async def refusal_ends_the_upload(ask: Ask, way: Way) -> Reply:
    """An upload that could not be completed is thrown away."""
    reply = await way.on(ask)
    if ask.operation == "completeUpload" and reply.status == 409:
        await way.on(Ask("DELETE", f"/v2/upload/multipart/{ask.upload_id}", ask.headers))
    return reply


@request("startUpload")
def always_overwrites(ask: Ask) -> Ask:
    """A name that is taken is taken away."""
    if not ask.query:
        return ask.with_target(f"{ask.target}?overwrite=true")
    return ask


@request()
def never_overwrites(ask: Ask) -> Ask:
    """overwrite=true has no effect."""
    return ask.with_target(ask.target.replace("overwrite=true", "overwrite=false"))


@answer("startUpload", 409)
def conflicts_not_found(reply: Reply) -> Reply:
    """A taken name is told with the code of an unknown file, swapped as in an old client."""
    return reply.with_json({**reply.json(), "code": 8004})
