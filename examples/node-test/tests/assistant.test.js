import assert from "node:assert/strict";
import { test } from "node:test";

import { AnswerFailed, Assistant } from "../src/assistant.js";
import { sessionOf } from "./session.js";

const USER = "abc-123";

async function assistantOf(t, options = {}) {
  const session = await sessionOf(t);
  return [session, new Assistant({ url: session.dify, key: session.key, user: USER, ...options })];
}

/** All pieces of an answer. */
async function read(answer) {
  const pieces = [];
  for await (const piece of answer) pieces.push(piece);
  return pieces;
}

/** How an answer fails. */
async function failure(answer) {
  const error = await read(answer).then(
    () => assert.fail("it did not fail"),
    (reason) => reason,
  );
  assert.ok(error instanceof AnswerFailed, String(error.stack));
  return error;
}

test("an answer comes in pieces, and the conversation goes on", async (t) => {
  const [session, assistant] = await assistantOf(t);
  const first = await read(assistant.ask("What should I pack?"));
  const second = await read(assistant.ask("And what else?"));
  assert.ok(first.length > 3 && second.length > 3);
  assert.deepEqual(await assistant.history(), [
    { query: "What should I pack?", answer: first.join("") },
    { query: "And what else?", answer: second.join("") },
  ]);

  const [one, other] = (await session.calls("sendChatMessage")).map((call) => JSON.parse(call.request.body));
  assert.equal(one.conversation_id, undefined);
  assert.ok(other.conversation_id, "the second question stays in the conversation");
});

test("characters that are cut in two on the way are whole again", async (t) => {
  const [session, assistant] = await assistantOf(t);
  await session.arm({ scenario: "long-answer", fault: { slice: { bytes: 1 } } });
  const answer = (await read(assistant.ask("接下来怎么办？"))).join("");
  assert.match(answer, /把任务拆成一天之内能做完的小步骤/);
  assert.ok(!answer.includes("\ufffd"));
});

test("keep-alives are no part of an answer", async (t) => {
  const [session, assistant] = await assistantOf(t);
  await session.arm({ scenario: "ping-storm" });
  const pieces = await read(assistant.ask("Hello?"));
  assert.equal((await assistant.history())[0].answer, pieces.join(""));
});

test("a busy server is asked again, when it said so", async (t) => {
  const waited = [];
  const [session, assistant] = await assistantOf(t, { wait: async (ms) => waited.push(ms) });
  await session.arm({ scenario: "rate-limited", times: 2 });
  assert.ok((await read(assistant.ask("Hello?"))).length > 0);
  assert.deepEqual(waited, [20_000, 20_000]);
  assert.deepEqual((await session.calls("sendChatMessage")).map((call) => call.status), [429, 429, 200]);
});

test("a server that stays busy is left alone", async (t) => {
  const [session, assistant] = await assistantOf(t, { wait: async () => {} });
  await session.arm({ scenario: "unavailable", times: null });
  assert.equal((await failure(assistant.ask("Hello?"))).code, "busy");
  assert.equal((await session.calls("sendChatMessage")).length, 3);
  assert.deepEqual(await assistant.history(), []);
});

test("the model fails in mid-answer: what had come is kept", async (t) => {
  const [session, assistant] = await assistantOf(t);
  await session.arm({ scenario: "quota-exceeded" });
  const error = await failure(assistant.ask("Tell me everything."));
  assert.equal(error.code, "provider_quota_exceeded");
  assert.ok(error.partial.startsWith("Let me look into that"));
});

test("the connection breaks in mid-answer", async (t) => {
  const [session, assistant] = await assistantOf(t);
  // A pause before the reset, so that what came before it has been read.
  await session.arm({ scenario: "default", fault: [{ latency: { for: "50ms", event: 3 } }, { reset: { event: 3 } }] });
  const error = await failure(assistant.ask("Hello?"));
  assert.equal(error.code, "connection_lost");
});

test("an answer without its end is not taken for a whole one", async (t) => {
  const [session, assistant] = await assistantOf(t);
  await session.arm({ fault: { truncate: { event: 3 } } });
  const error = await failure(assistant.ask("Hello?"));
  assert.equal(error.code, "incomplete");
  assert.ok(error.partial.length > 0);
  assert.notEqual((await assistant.history())[0].answer, error.partial, "the server has the rest");
});

test("a wrong key is refused, and not tried again", async (t) => {
  const [session, assistant] = await assistantOf(t, { key: "app-wrong" });
  assert.equal((await failure(assistant.ask("Hello?"))).code, "refused");
  const [call, ...more] = await session.calls("sendChatMessage");
  assert.deepEqual([call.status, more], [401, []]);
});

test("tests do not see each other", async (t) => {
  await t.test("one asks", async (t) => {
    const [session, assistant] = await assistantOf(t);
    await read(assistant.ask("Where is the lake?"));
    assert.equal((await session.calls("sendChatMessage")).length, 1);
  });
  await t.test("another finds nothing of it", async (t) => {
    const [session] = await assistantOf(t);
    assert.deepEqual(await session.calls("sendChatMessage"), []);
  });
});
