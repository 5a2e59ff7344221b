// What a TypeScript client has to be able to send: compiled with the types of openapi.yaml by `tsc --strict`.
import type { operations } from "./api";

type Body<Name extends keyof operations> = NonNullable<operations[Name] extends { requestBody?: infer Sent } ? Sent : never> extends {
  content: { "application/json": infer Json };
}
  ? Json
  : never;

const part = { part_number: 1, response: { headers: { ETag: "900150983cd24fb0d6963f7d28e17f72" } } };
const started: Body<"startUpload"> = { project: "mlin/rna-pilot", name: "a.bam", size: 1 };
const intoFolder: Body<"startUpload"> = { parent: "5bd7c53ee4b04b8fb1a9f63d", name: "a.bam", size: 1 };
const owed: Body<"completeUpload"> = { parts: [part] };
const nothing: Body<"completeUpload"> = null;
const reported: Body<"reportUploadedParts"> = { parts: [part] };
const folder: Body<"createFolder"> = { parent: "5bd7c53ee4b04b8fb1a9f63d", name: "my new folder", type: "FOLDER" };
export const sent = [started, intoFolder, owed, nothing, reported, folder];
