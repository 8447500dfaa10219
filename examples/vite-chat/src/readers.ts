// Two ways to read a stream of server-sent events. Only one of them works outside of one's own desk.
import { createParser } from "eventsource-parser";

export type Reader = (body: ReadableStream<Uint8Array>) => AsyncGenerator<unknown>;

/** What a standard says: bytes become characters when they are whole, lines become events at a blank line. */
async function* robust(body: ReadableStream<Uint8Array>): AsyncGenerator<unknown> {
  const events: unknown[] = [];
  // A keep-alive is an event without data, of which the parser says nothing.
  const parser = createParser({ onEvent: ({ data }) => events.push(JSON.parse(data)) });
  const decoder = new TextDecoder();
  for await (const chunk of chunksOf(body)) {
    parser.feed(decoder.decode(chunk, { stream: true }));
    yield* events.splice(0);
  }
}

/** What is often written: each chunk is taken for whole characters and whole events. */
async function* naive(body: ReadableStream<Uint8Array>): AsyncGenerator<unknown> {
  for await (const chunk of chunksOf(body)) {
    const parts = new TextDecoder().decode(chunk).split("\n\n");
    for (const part of parts.filter(Boolean)) yield JSON.parse(part.slice("data: ".length));
  }
}

export const READERS: Record<string, Reader> = { robust, naive };

async function* chunksOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Uint8Array> {
  // Not `for await` over the body: not every browser has that.
  const reader = body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } finally {
    // Whoever stops reading wants no more of it.
    await reader.cancel().catch(() => {});
  }
}
