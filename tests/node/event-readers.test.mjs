// The streams of the other backends as a parser made to the standard reads them: every scenario that each has.
import assert from "node:assert/strict";
import { test } from "node:test";

import { EventSourceParserStream } from "eventsource-parser/stream";

const BASE = process.env.CHAT_EMULATOR_URL;
// The cookbook's bad days: other tests have them.
const DAYS = new Set((process.env.CHAT_EMULATOR_DAYS ?? "").split(","));
const BEARER = { Authorization: "Bearer emulator-token" };

async function json(path, method, body, headers = {}) {
  const reply = await fetch(BASE + path, {
    method,
    headers: { "Content-Type": "application/json", ...headers },
    body: body && JSON.stringify(body),
  });
  assert.ok(reply.ok, `${path}: ${reply.status}`);
  return reply.json();
}

// name → how a message is streamed there, and which frames end a stream
const STREAMS = {
  "ruoyi: Dify": {
    path: "/ruoyi/dev-api/api/ai/dify/chat/stream",
    headers: BEARER,
    body: () => ({ app_id: 1, query: "Hi", user_id: 1 }),
    last: (frame) => ["message_end", "error"].includes(JSON.parse(frame.data).event),
  },
  "ruoyi: DeepSeek": {
    path: "/ruoyi/dev-api/api/ai/deepseek/chat/stream?provider_id=1",
    headers: BEARER,
    body: () => ({ model: "deepseek-chat", messages: [{ role: "user", content: "Hi" }] }),
    last: (frame) => frame.data === "[DONE]" || "error" in JSON.parse(frame.data),
  },
  deskchat: {
    path: "/deskchat/chat/messages/stream",
    headers: {},
    body: async () => {
      const made = await json("/deskchat/chat/conversations", "POST", { title: "Read" });
      return { chat_id: made.data.uuid, content: "Hi" };
    },
    last: (frame) => ["complete", "error", "cancelled"].includes(JSON.parse(frame.data).type),
  },
  toolchat: {
    path: "/toolchat/api/messages/stream",
    headers: BEARER,
    body: async () => {
      const made = await json("/toolchat/api/conversations/", "POST", { title: "Read" }, BEARER);
      return { conversation_id: made.data.id, content: "Hi" };
    },
    last: (frame) => ["done", "error"].includes(frame.event) && JSON.parse(frame.data).type === frame.event,
  },
};

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

for (const [name, stream] of Object.entries(STREAMS)) {
  test(`${name}: every scenario reads as events`, async () => {
    const ask = async (scenario) =>
      fetch(BASE + stream.path, {
        method: "POST",
        headers: { "Content-Type": "application/json", ...stream.headers, "X-Emulator-Scenario": scenario },
        body: JSON.stringify(await stream.body()),
      });
    const unknown = await ask("no-such-scenario");
    assert.equal(unknown.status, 400);
    const names = (await unknown.json()).available.filter((name) => !DAYS.has(name));
    assert.ok(names.includes("default") && names.length >= 5);
    for (const scenario of names) {
      const reply = await ask(scenario);
      // A provider that never answers has nothing to stream.
      if (scenario === "upstream-timeout") continue;
      assert.equal(reply.status, 200, `${name} ${scenario}`);
      assert.match(reply.headers.get("content-type"), /^text\/event-stream/);
      const { frames, broken } = await read(reply);
      assert.equal(broken, scenario === "disconnect-mid-stream", `${name} ${scenario}`);
      if (broken) {
        assert.ok(frames.length >= 1 && !frames.some(stream.last), `${name} ${scenario}`);
        continue;
      }
      assert.ok(stream.last(frames.at(-1)), `${name} ${scenario}: ${frames.at(-1).data}`);
      assert.equal(frames.filter(stream.last).length, 1, `${name} ${scenario}`);
    }
  });
}
