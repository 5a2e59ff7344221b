// The whole life of an upload with openapi-fetch and the types of openapi-typescript. Prints what it saw as JSON.

import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const { BASE_URL, TOKEN } = process.env;
if (!BASE_URL || !TOKEN) throw new Error("BASE_URL and TOKEN are needed");
const client = createClient<paths>({ baseUrl: BASE_URL, headers: { "X-SBG-Auth-Token": TOKEN } });
const project = "mlin/pilot";
const data = new TextEncoder().encode("0123456789");

type Report = components["schemas"]["PartReport"];

/** The answer, or an exception with the platform's code. */
function good<T>(result: { data?: T; error?: unknown; response: Response }): T {
  if (result.data === undefined) throw new Error(`${result.response.status}: ${JSON.stringify(result.error)}`);
  return result.data;
}

async function start(name: string, size: number) {
  return good(await client.POST("/upload/multipart", { body: { project, name, size, part_size: 4 } }));
}

async function put(upload_id: string, part_number: number, bytes: Uint8Array<ArrayBuffer>): Promise<Report> {
  const part = good(
    await client.GET("/upload/multipart/{upload_id}/part/{part_number}", { params: { path: { upload_id, part_number } } }),
  );
  const answer = await fetch(part.url, { method: part.method, headers: part.headers, body: bytes });
  const headers = Object.fromEntries(part.report.headers.map((name) => [name, answer.headers.get(name) ?? ""]));
  return { part_number, response: { headers } };
}

const started = await start("sample 07.txt", data.length);
const path = { upload_id: started.upload_id };
const first = await put(started.upload_id, 1, data.slice(0, 4));
const second = await put(started.upload_id, 2, data.slice(4, 8));
const third = await put(started.upload_id, 3, data.slice(8));
const bulk = await client.POST("/upload/multipart/{upload_id}", {
  params: { path },
  body: { parts: [first, second] },
  parseAs: "text",
});
const shown = good(
  await client.GET("/upload/multipart/{upload_id}", { params: { path, query: { list_parts: true } } }),
);
const file = good(
  await client.POST("/upload/multipart/{upload_id}/complete", { params: { path }, body: { parts: [third] } }),
);
const details = good(await client.GET("/files/{file_id}", { params: { path: { file_id: file.id } } }));

// An empty file is one empty part; every part is reported before, and the body is null.
const empty = await start("empty.txt", 0);
await client.POST("/upload/multipart/{upload_id}/part", {
  params: { path: { upload_id: empty.upload_id } },
  body: await put(empty.upload_id, 1, new Uint8Array()),
});
const emptyFile = good(
  await client.POST("/upload/multipart/{upload_id}/complete", {
    params: { path: { upload_id: empty.upload_id } },
    body: null,
  }),
);

const open = [];
for (const name of ["a", "b", "c"]) open.push((await start(name, 1)).upload_id);
const listed: string[] = [];
for (let offset = 0, more = true; more; offset += 2) {
  const page = good(await client.GET("/upload/multipart", { params: { query: { limit: 2, offset } } }));
  listed.push(...page.items.map((upload) => upload.upload_id));
  more = (page.links ?? []).some((link) => link.rel.toLowerCase() === "next");
}
const found = good(
  await client.GET("/files", { params: { query: { project, name: ["sample 07.txt", "empty.txt", "no.txt"] } } }),
);
const aborted: number[] = [];
for (const upload_id of open) {
  const answer = await client.DELETE("/upload/multipart/{upload_id}", { params: { path: { upload_id } } });
  aborted.push(answer.response.status);
}

const folder = good(
  await client.POST("/files", { body: { name: "my new folder", type: "FOLDER", parent: "5bd7c53ee4b04b8fb1a9f63d" } }),
);
const edited = good(
  await client.POST("/bulk/files/edit", {
    body: { items: [{ id: file.id, metadata: { sample_id: "s7" } }, { file_id: "0".repeat(24) }] },
  }),
);
const gone = await client.GET("/upload/multipart/{upload_id}", { params: { path } });
const taken = await client.POST("/upload/multipart", { body: { project, name: "sample 07.txt", size: 1 } });

console.log(
  JSON.stringify({
    file: file.id,
    empty: emptyFile.id,
    size: details.size,
    part_size: started.part_size,
    bulk: bulk.response.status,
    reported: shown.parts?.map((part) => part.part_number),
    open: JSON.stringify([...listed].sort()) === JSON.stringify([...open].sort()),
    found: found.items.map((item) => item.name).sort(),
    aborted,
    folder: folder.name,
    edited: edited.items.map((item) => item.resource?.metadata?.["sample_id"] ?? item.error?.code),
    gone: [gone.error?.status, gone.error?.code],
    taken: [taken.error?.status, taken.error?.code],
  }),
);
