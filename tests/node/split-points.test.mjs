// However a network cuts a stream, eventsource-parser reads the same events. CHAT_EMULATOR_STREAMS is a file with the
// bytes of every bundled stream: [{name, whole, body (base64)}, …].
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { createParser } from "eventsource-parser";

const STREAMS = JSON.parse(readFileSync(process.env.CHAT_EMULATOR_STREAMS, "utf8")).map((stream) => ({
  ...stream,
  body: Buffer.from(stream.body, "base64"),
}));
// Streams up to so many bytes are read whole for each cut. Of longer ones a cut goes through the frame, the one before
// it and the one after it; that nothing is left in the parser is then shown by an event of our own.
const WHOLE = 8_000;
const LINE_ENDS = { LF: "\n", CRLF: "\r\n", CR: "\r" };
// What follows the blank line shows that no LF follows its CR.
const PROBE = Buffer.from("data: nothing is left\n\n:");
const NOTHING = Buffer.alloc(0);

/** The events of these chunks, read as a page reads them. */
function read(...chunks) {
  const events = [];
  const decoder = new TextDecoder();
  const parser = createParser({ onEvent: (event) => events.push(event) });
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return events;
}

/** Whether these chunks give these events. Slow comparisons are for what differs. */
function gives(expected, ...chunks) {
  let at = 0;
  let same = true;
  const decoder = new TextDecoder();
  const parser = createParser({
    onEvent(event) {
      const wanted = expected[at++];
      same &&= wanted?.data === event.data && wanted.event === event.event && wanted.id === event.id;
    },
  });
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return same && at === expected.length;
}

/** The same bytes with other line ends. No backend sends a bare CR. */
const withLineEnds = (body, end) => Buffer.from(body.toString("latin1").replaceAll(/\r\n|\r|\n/g, end), "latin1");

/** The frames, each with the blank line that ends it; the last may be cut. */
function framesOf(body, end) {
  const frames = [];
  for (let start = 0; start < body.length; ) {
    const found = body.indexOf(end + end, start);
    const next = found === -1 ? body.length : found + 2 * end.length;
    frames.push(body.subarray(start, next));
    start = next;
  }
  return frames;
}

/** Cut everywhere, one piece of a stream after another; how many cuts were tried. */
function cutEverywhere(name, body, end) {
  const probe = withLineEnds(PROBE, end);
  const frames = body.length <= WHOLE ? [body] : framesOf(body, end);
  let tried = 0;
  frames.forEach((frame, at) => {
    const before = frames[at - 1] ?? NOTHING;
    const after = frames[at + 1];
    // What the last frame leaves behind is what a cut stream leaves behind: nothing comes after it.
    const near = Buffer.concat([before, frame, after ?? NOTHING]);
    const rest = after === undefined ? NOTHING : probe;
    const expected = read(near, rest);
    const last = before.length + frame.length - (after === undefined ? 1 : 0);
    for (let cut = before.length + 1; cut <= last; cut += 1, tried += 1) {
      const chunks = [near.subarray(0, cut), near.subarray(cut), rest];
      if (!gives(expected, ...chunks)) assert.deepEqual(read(...chunks), expected, `${name}, frame ${at}, byte ${cut}`);
    }
  });
  return tried;
}

test("there are streams, from every backend that has frames", () => {
  const backends = new Set(STREAMS.map((stream) => stream.name.split(" ")[0]));
  assert.deepEqual([...backends].sort(), ["deskchat", "dify", "ruoyi", "toolchat"]);
  assert.ok(STREAMS.length >= 30);
});

for (const [kind, end] of Object.entries(LINE_ENDS)) {
  test(`every cut in two reads the same, with ${kind}`, () => {
    for (const { name, body } of STREAMS) {
      const bytes = withLineEnds(body, end);
      assert.equal(cutEverywhere(name, bytes, end), bytes.length - 1, name);
    }
  });

  test(`bytes that come one by one read the same, with ${kind}`, () => {
    for (const { name, body } of STREAMS) {
      const bytes = withLineEnds(body, end);
      const events = read(...Array.from(bytes, (_, at) => bytes.subarray(at, at + 1)));
      // An LF may follow a CR, so a CR at the end is not yet the end of a line: this parser waits for the next byte.
      const lines = withLineEnds(body, "\n");
      const told = end === "\r" && lines.at(-1) === 10 ? lines.subarray(0, -1) : lines;
      assert.deepEqual(events, read(told), name);
    }
  });
}
