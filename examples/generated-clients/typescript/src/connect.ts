/** What the tests share: a client of one backend in a session of its own, and a reader of streams. */

import createClient, { type Client } from "openapi-fetch";

const emulator = process.env.EMULATOR_URL;
if (!emulator) throw new Error("EMULATOR_URL is not set: `make test-generated` sets it");

/** A client of the backend whose base URL is `base`, for the types of its spec. */
export function connect<Paths extends {}>(base: string, token?: string): Client<Paths> {
  const headers: Record<string, string> = { "X-Emulator-Session": "generated-typescript" };
  if (token) headers.Authorization = `Bearer ${token}`;
  return createClient<Paths>({ baseUrl: `${emulator}${base}`, headers });
}

/** The text of a stream, piece by piece as it comes. */
export async function* pieces(body: ReadableStream<Uint8Array> | null | undefined): AsyncGenerator<string> {
  if (!body) throw new Error("there is no body");
  const decoder = new TextDecoder();
  const reader = body.getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    yield decoder.decode(value, { stream: true });
  }
}

/** What the frames of a stream of server-sent events say, as `Event`: the type that the spec gives their data. */
export async function* events<Event>(body: ReadableStream<Uint8Array> | null | undefined): AsyncGenerator<Event> {
  let text = "";
  for await (const piece of pieces(body)) {
    text += piece;
    // A piece may end anywhere; a frame ends with a blank line.
    const frames = text.split("\n\n");
    text = frames.pop() ?? "";
    for (const frame of frames) {
      const data = frame.split("\n").filter((line) => line.startsWith("data: "));
      if (data.length > 0) yield JSON.parse(data.map((line) => line.slice(6)).join("\n")) as Event;
    }
  }
}
