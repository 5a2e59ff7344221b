"""Broken rules of an upload's life."""

import re
from typing import Any

from tests.contract.mutants.proxy import Ask, Reply, Way, behaviour, body, document, request


def _reports(ask: Ask) -> list[Any] | None:
    body = ask.json()
    parts = body.get("parts") if isinstance(body, dict) else None
    return parts if isinstance(parts, list) else None


@behaviour("abortUpload")
async def abort_keeps(ask: Ask, way: Way) -> Reply:
    """An aborted upload stays open."""
    shown = await way.on(Ask("GET", ask.target, ask.headers))
    return Reply(204, shown.headers).with_headers(content_type=None) if shown.status == 200 else shown


@behaviour()
async def aborted_can_be_reported(ask: Ask, way: Way) -> Reply:
    """Reports on an aborted upload are accepted."""
    reply = await way.on(ask)
    if ask.operation == "abortUpload" and reply.status == 204:
        way.memory[ask.upload_id] = reply
    if ask.operation == "reportUploadedParts" and ask.upload_id in way.memory:
        return Reply(200, reply.headers)
    return reply


@behaviour()
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


@behaviour("getUpload")
async def parts_of_another(ask: Ask, way: Way) -> Reply:
    """A part of another upload is shown among an upload's own."""
    reply = await way.on(ask)
    if reply.status == 200 and "parts" in reply.json():
        document = reply.json()
        others = [parts for upload, parts in way.memory.items() if upload != ask.upload_id and parts]
        way.memory[ask.upload_id] = document["parts"]
        return reply.with_json({**document, "parts": document["parts"] + others[0][:1]}) if others else reply
    return reply


@document("getUpload")
def a_part_is_lost(shown: Any) -> Any:
    """The last of several parts is not listed."""
    return {**shown, "parts": shown["parts"][:-1]} if len(shown.get("parts", ())) > 1 else shown


@document("getUpload")
def a_part_is_doubled(shown: Any) -> Any:
    """The first part is listed twice."""
    return {**shown, "parts": [shown["parts"][0], *shown["parts"]]} if shown.get("parts") else shown


@request("getUpload")
def parts_always_listed(ask: Ask) -> Ask:
    """Parts are listed without list_parts."""
    return ask if ask.query else ask.with_target(f"{ask.target}?list_parts=true")


@behaviour()
async def count_of_reports(ask: Ask, way: Way) -> Reply:
    """uploaded_parts_count counts reports, not parts."""
    reply = await way.on(ask)
    if ask.operation == "reportUploadedPart" and reply.status == 200:
        way.memory[ask.upload_id] = way.memory.get(ask.upload_id, 0) + 1
    if ask.operation == "getUpload" and reply.status == 200 and ask.upload_id in way.memory:
        count = max(way.memory[ask.upload_id], reply.json()["uploaded_parts_count"])
        return reply.with_json({**reply.json(), "uploaded_parts_count": count})
    return reply


@behaviour("reportUploadedParts")
async def bulk_in_pieces(ask: Ask, way: Way) -> Reply:
    """Of a list with a bad report the good ones before it are accepted."""
    reports = _reports(ask)
    if reports:
        for report in reports:
            reply = await way.on(ask.with_json({"parts": [report]}))
            if reply.status != 200:
                return reply
        return reply
    return await way.on(ask)


@behaviour()
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


@request("reportUploadedParts")
def first_report_counts(ask: Ask) -> Ask:
    """Of two reports of a part in one list the first counts."""
    reports = _reports(ask)
    return ask.with_json({"parts": reports[::-1]}) if reports else ask


@behaviour("reportUploadedPart")
async def later_reports_ignored(ask: Ask, way: Way) -> Reply:
    """A second report of a part is ignored and answered with success."""
    body = ask.json()
    if isinstance(body, dict):
        key = ask.upload_id, str(body.get("part_number"))
        if key in way.memory and "response" in body:
            shown = await way.on(Ask("GET", f"/v2/upload/multipart/{ask.upload_id}", ask.headers))
            return shown.with_json(body) if shown.status == 200 else shown
        reply = await way.on(ask)
        if reply.status == 200:
            way.memory[key] = True
        return reply
    return await way.on(ask)


@behaviour()
async def etags_are_ignored(ask: Ask, way: Way) -> Reply:
    """Completing accepts any ETag."""
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
    """An ETag with its quotes differs from one without."""
    body = re.sub(rb'"ETag": "\\"[^"\\]*\\""', b'"ETag": "quoted"', ask.body)
    return Ask(ask.method, ask.target, ask.headers, body)


@behaviour("completeUpload")
async def half_files(ask: Ask, way: Way) -> Reply:
    """Completing succeeds although parts are missing."""
    reply = await way.on(ask)
    if reply.status == 409 and reply.json().get("code") == 8007:
        shown = await way.get(ask, f"/upload/multipart/{ask.upload_id}")
        file = {
            "href": "http://127.0.0.1/v2/files/" + "a" * 24, "path": "/Projects/x", "id": "a" * 24, "type": "file",
            "project": shown["project"], "name": shown["name"], "size": 0,
            "created_on": "2026-11-22T10:07:41Z", "modified_on": "2026-11-22T10:07:41Z",
        }  # fmt: skip
        return Reply(201, reply.headers).with_json(file)
    return reply


@behaviour("completeUpload")
async def refusal_ends_the_upload(ask: Ask, way: Way) -> Reply:
    """An upload that could not be completed is deleted."""
    reply = await way.on(ask)
    if reply.status == 409:
        await way.on(Ask("DELETE", f"/v2/upload/multipart/{ask.upload_id}", ask.headers))
    return reply


@request("startUpload")
def always_overwrites(ask: Ask) -> Ask:
    """A file with the same name is overwritten without overwrite=true."""
    return ask if ask.query else ask.with_target(f"{ask.target}?overwrite=true")


@request()
def never_overwrites(ask: Ask) -> Ask:
    """overwrite=true has no effect."""
    return ask.with_target(ask.target.replace("overwrite=true", "overwrite=false"))


@document("startUpload", 409)
def conflicts_not_found(shown: Any) -> Any:
    """A taken name has the code of an unknown file, swapped as in an old client."""
    return {**shown, "code": 8004}


@behaviour()
async def aborted_names_stay_taken(ask: Ask, way: Way) -> Reply:
    """The name of an aborted upload cannot be used again."""
    reply = await way.on(ask)
    if ask.operation == "startUpload" and reply.status == 200:
        name = reply.json()["name"]
        if name in way.memory.values():
            return reply.refused(409, 8005)
        way.memory["open", reply.json()["upload_id"]] = [name]
    if ask.operation == "abortUpload" and reply.status == 204:
        way.memory[ask.upload_id] = way.memory["open", ask.upload_id][0]
    return reply


@behaviour("abortUpload")
async def abort_takes_namesakes(ask: Ask, way: Way) -> Reply:
    """An abort ends every upload of the same name."""
    shown = await way.get(ask, f"/upload/multipart/{ask.upload_id}")
    reply = await way.on(ask)
    for other in (await way.get(ask, "/upload/multipart")).get("items", ()) if reply.status == 204 else ():
        if other["name"] == shown["name"]:
            await way.on(Ask("DELETE", f"/v2/upload/multipart/{other['upload_id']}", ask.headers))
    return reply


@body("reportUploadedParts")
def bulk_of_a_hundred(sent: Any) -> Any:
    """Of a long list of reports only the first hundred are read."""
    return {**sent, "parts": sent["parts"][:100]} if len(sent.get("parts") or ()) > 100 else sent


@document("getUpload")
def a_hundred_parts_listed(shown: Any) -> Any:
    """At most a hundred parts are listed."""
    return {**shown, "parts": shown["parts"][:100]} if "parts" in shown else shown


@behaviour("completeUpload")
async def completion_in_ascending_order(ask: Ask, way: Way) -> Reply:
    """The reports with a completion have to be in the order of their numbers."""
    numbers = [str(report.get("part_number")) for report in _reports(ask) or () if isinstance(report, dict)]
    return await way.on(ask if numbers == sorted(numbers) else ask.with_json({"parts": 0}))


@behaviour("completeUpload")
async def completion_skips_bad_reports(ask: Ask, way: Way) -> Reply:
    """A bad report with a completion is ignored."""
    reply = await way.on(ask)
    good = [each for each in _reports(ask) or () if isinstance(each, dict) and each.get("part_number") != 9999]
    return await way.on(ask.with_json({"parts": good})) if reply.status == 400 and good else reply


@behaviour()
async def older_etags_are_taken(ask: Ask, way: Way) -> Reply:
    """A part that was put again can be completed with the ETag that it had before."""
    reply = await way.on(ask)
    if ask.method == "PUT" and reply.status == 200:
        part = re.search(r"uploadId=([^&]+)&partNumber=(\d+)", ask.target)
        etags = way.memory.setdefault(part and part.groups(), [])
        etags.append(reply.headers["etag"].strip('"'))
    if ask.operation == "completeUpload" and reply.status == 409:
        shown = await way.get(ask, f"/upload/multipart/{ask.upload_id}?list_parts=true")
        for report in shown["parts"]:
            etags = way.memory.get((ask.upload_id, str(report["part_number"])), ())
            if report["response"]["headers"]["ETag"] in etags:
                report["response"]["headers"]["ETag"] = etags[-1]
        return await way.on(ask.with_json({"parts": [*shown["parts"], *(_reports(ask) or ())]}))
    return reply


@behaviour("startUpload")
async def names_taken_in_any_case(ask: Ask, way: Way) -> Reply:
    """A name is taken if a file has it in another case."""
    reply = await way.on(ask)
    if reply.status == 200 and not ask.query:
        files = await way.get(ask, f"/files?parent={reply.json()['parent']}&limit=100")
        if reply.json()["name"].lower() in [file["name"].lower() for file in files["items"]]:
            return reply.refused(409, 8005)
    return reply


@behaviour()
async def md5_is_checked(ask: Ask, way: Way) -> Reply:
    """An upload whose MD5 is not that of its bytes cannot be completed."""
    reply = await way.on(ask)
    if ask.operation == "startUpload" and reply.status == 200:
        way.memory[reply.json()["upload_id"]] = ask.json().get("md5")
    return reply.refused(409, 8007) if ask.operation == "completeUpload" and way.memory.get(ask.upload_id) else reply
