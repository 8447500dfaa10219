// The streams as a parser made to the standard reads them, from the platform's fetch: what a web page does.
import assert from "node:assert/strict";
import { before, test } from "node:test";

import { EventSourceParserStream } from "eventsource-parser/stream";

// The cookbook's bad days: other tests have them.
const DAYS = new Set((process.env.CHAT_EMULATOR_DAYS ?? "").split(","));
const BASE = `${process.env.CHAT_EMULATOR_URL}/dify/v1`;
const KINDS = new Set([
  "message",
  "agent_message",
  "agent_thought",
  "message_file",
  "message_replace",
  "tts_message",
  "tts_message_end",
  "message_end",
  "error",
]);
let names = [];

function ask(scenario) {
  return fetch(`${BASE}/chat-messages`, {
    method: "POST",
    headers: {
      Authorization: "Bearer app-emulator",
      "Content-Type": "application/json",
      "X-Emulator-Scenario": scenario,
    },
    body: JSON.stringify({ inputs: {}, query: "Hi", user: "abc-123", response_mode: "streaming" }),
  });
}

/** The frames of a stream; `broken` tells whether it broke off. */
async function read(reply) {
  const frames = [];
  try {
    const parsed = reply.body
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream({ onError: "terminate" }));
    for await (const frame of parsed) frames.push(frame);
  } catch {
    return { frames, broken: true };
  }
  return { frames, broken: false };
}

before(async () => {
  const reply = await ask("no-such-scenario");
  assert.equal(reply.status, 400);
  names = (await reply.json()).available.filter((name) => !DAYS.has(name));
});

test("every scenario reads as events of JSON", async () => {
  assert.ok(names.includes("default") && names.length >= 5);
  for (const name of names) {
    const reply = await ask(name);
    assert.equal(reply.status, 200, name);
    assert.match(reply.headers.get("content-type"), /^text\/event-stream/);
    assert.equal(reply.headers.get("x-emulator-scenario"), name);
    const { frames, broken } = await read(reply);
    assert.equal(broken, name === "disconnect-mid-stream", name);
    assert.ok(frames.length > 0, name);
    for (const frame of frames) {
      // No event lines and no ids: these are frames of data alone.
      assert.equal(frame.event, undefined);
      assert.equal(frame.id, undefined);
      assert.ok(KINDS.has(JSON.parse(frame.data).event), frame.data);
    }
  }
});

test("a ping has no data, so to the standard it is no event", async () => {
  const reply = await ask("ping-between-deltas");
  const text = await reply.clone().text();
  assert.equal(text.split("\n\n").filter((frame) => frame === "event: ping").length, 1);
  const { frames } = await read(reply);
  assert.equal(frames.length, text.trim().split("\n\n").length - 1);
  assert.ok(frames.every((frame) => JSON.parse(frame.data).event.startsWith("message")));
});

test("a reset is an error to the reader, after the deltas that came before it", async () => {
  const { frames, broken } = await read(await ask("disconnect-mid-stream"));
  assert.equal(broken, true);
  const answer = frames.map((frame) => JSON.parse(frame.data).answer).join("");
  assert.equal(answer, "The answer begins as usual and then");
});

test("Chinese comes whole, however the stream is cut", async () => {
  const { frames } = await read(await ask("long-answer"));
  const events = frames.map((frame) => JSON.parse(frame.data));
  const answer = events.slice(0, -1).map((event) => event.answer).join("");
  assert.ok(answer.includes("第三，把任务拆成一天之内能做完的小步骤。"));
  assert.ok(!answer.includes("\ufffd"));
});
