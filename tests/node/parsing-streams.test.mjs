// The JavaScript of docs/parsing-streams.md. CHAT_EMULATOR_STREAMS is a file with {frames (base64), kinds, naive,
// wrong}: a stream, what each cut in two cuts, the naive reader's source, and how many of each kind it reads wrong.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";

const given = JSON.parse(readFileSync(process.env.CHAT_EMULATOR_STREAMS, "utf8"));
const frames = given.frames.map((frame) => Buffer.from(frame, "base64"));
const naive = new Function(`${given.naive}; return naive;`)();
const NOTHING = Buffer.alloc(0);

// It keeps nothing from one part to the next, so what is far from a cut does not matter to it.
test("the naive reader breaks at as many places as the text says", () => {
  const wrong = Object.fromEntries(given.kinds.map((kind) => [kind, 0]));
  let cut = 0;
  frames.forEach((frame, n) => {
    const before = frames[n - 1] ?? NOTHING;
    const near = Buffer.concat([before, frame, frames[n + 1] ?? NOTHING]);
    const expected = JSON.stringify(naive(near));
    const last = Math.min(before.length + frame.length, near.length - 1);
    for (let at = before.length + 1; at <= last; at += 1) {
      const kind = given.kinds[cut++];
      try {
        if (JSON.stringify([near.subarray(0, at), near.subarray(at)].flatMap(naive)) !== expected) wrong[kind] += 1;
      } catch {
        wrong[kind] += 1;
      }
    }
  });
  assert.equal(cut, given.kinds.length);
  assert.deepEqual(wrong, given.wrong);
});
