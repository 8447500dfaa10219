// The npm client of Dify, as it is published, with every method it has. CHAT_EMULATOR_URL is where a session of the
// emulator answers.
import assert from "node:assert/strict";
import { test } from "node:test";

import { ChatClient, CompletionClient, DifyClient } from "dify-client";
import { createParser } from "eventsource-parser";
import FormData from "form-data";

const BASE = `${process.env.CHAT_EMULATOR_URL}/dify/v1`;
const KEY = "app-emulator";
const USER = "abc-123";
const PICTURE = Buffer.from("89504e470d0a1a0a0000000d49484452", "hex");

const chat = () => new ChatClient(KEY, BASE);

/** The events of an axios stream, read as they come. */
async function eventsOf(stream) {
  const events = [];
  const parser = createParser({ onEvent: (event) => events.push(JSON.parse(event.data)) });
  stream.setEncoding("utf8");
  for await (const piece of stream) parser.feed(piece);
  return events;
}

/** The error that a call is refused with, as axios hands it on. */
async function refused(call) {
  const error = await call.then(
    () => assert.fail("it was not refused"),
    (reason) => reason,
  );
  assert.ok(error.response, String(error));
  return { status: error.response.status, ...error.response.data };
}

test("every method of the client is tried here", () => {
  const methods = (kind) => Object.getOwnPropertyNames(kind.prototype).filter((name) => name !== "constructor");
  assert.deepEqual(methods(DifyClient).sort(), [
    "fileUpload",
    "getApplicationParameters",
    "messageFeedback",
    "sendRequest",
    "updateApiKey",
  ]);
  assert.deepEqual(methods(CompletionClient).sort(), ["createCompletionMessage", "runWorkflow"]);
  assert.deepEqual(methods(ChatClient).sort(), [
    "createChatMessage",
    "deleteConversation",
    "getConversationMessages",
    "getConversations",
    "renameConversation",
  ]);
});

test("getApplicationParameters", async () => {
  const { status, data } = await new DifyClient(KEY, BASE).getApplicationParameters(USER);
  assert.equal(status, 200);
  assert.equal(Object.keys(data).length, 12);
  assert.equal(data.user_input_form[0]["text-input"].variable, "city");
  assert.ok(data.suggested_questions.includes("三天的行程怎么安排？"));
});

test("sendRequest, the way to all other operations", async () => {
  const client = new DifyClient(KEY, BASE);
  assert.equal((await client.sendRequest("GET", "/info")).data.mode, "chat");
  const audio = await client.sendRequest("POST", "/text-to-audio", { text: "Hello", user: USER }, null, true);
  assert.equal(audio.headers["content-type"], "audio/mpeg");
  const pieces = [];
  for await (const piece of audio.data) pieces.push(piece);
  assert.equal(Buffer.concat(pieces).readUInt16BE(0), 0xfffb);
});

test("updateApiKey", async () => {
  const client = new DifyClient("app-wrong", BASE);
  assert.deepEqual(await refused(client.getApplicationParameters(USER)), {
    status: 401,
    code: "unauthorized",
    message: "Access token is invalid",
  });
  client.updateApiKey(KEY);
  assert.equal((await client.getApplicationParameters(USER)).status, 200);
});

test("createChatMessage, in one piece, and the conversation goes on", async () => {
  const first = (await chat().createChatMessage({ city: "Hangzhou" }, "What should I pack?", USER)).data;
  assert.equal(first.event, "message");
  assert.equal(first.id, first.message_id);
  assert.ok(first.answer.length > 0);
  assert.equal(typeof first.metadata.usage.total_price, "string");
  const second = (await chat().createChatMessage({}, "And what else?", USER, false, first.conversation_id)).data;
  assert.equal(second.conversation_id, first.conversation_id);
  assert.notEqual(second.message_id, first.message_id);

  const page = (await chat().getConversationMessages(USER, first.conversation_id)).data;
  assert.deepEqual(
    page.data.map((message) => [message.query, message.answer]),
    [
      ["What should I pack?", first.answer],
      ["And what else?", second.answer],
    ],
  );
});

test("createChatMessage, streamed as a Node stream", async () => {
  const reply = await chat().createChatMessage({}, "西湖怎么走？", USER, true);
  assert.equal(reply.status, 200);
  assert.match(reply.headers["content-type"], /^text\/event-stream/);
  const events = await eventsOf(reply.data);
  const end = events.pop();
  assert.equal(end.event, "message_end");
  assert.ok(events.length > 1);
  assert.ok(events.every((event) => event.event === "message" && event.task_id === end.task_id));
  const answer = events.map((event) => event.answer).join("");
  assert.match(answer, /西湖/);

  const page = (await chat().getConversationMessages(USER, end.conversation_id)).data;
  assert.equal(page.data[0].answer, answer);
});

test("createChatMessage, an agent that uses a tool", async () => {
  const agent = new ChatClient("app-emulator-agent", BASE);
  const events = await eventsOf((await agent.createChatMessage({}, "What is 17 * 23?", USER, true)).data);
  const thoughts = events.filter((event) => event.event === "agent_thought");
  assert.equal(thoughts[1].tool, "calculator");
  assert.match(thoughts[2].observation, /391/);
  assert.equal(events.at(-1).event, "message_end");
});

test("createChatMessage, an error in mid-stream", async () => {
  const events = await eventsOf((await chat().createChatMessage({}, "/scenario quota-exceeded", USER, true)).data);
  assert.equal(events.at(-1).event, "error");
  assert.equal(events.at(-1).code, "provider_quota_exceeded");
});

test("createChatMessage, a connection that breaks", async () => {
  const reply = await chat().createChatMessage({}, "/scenario disconnect-mid-stream", USER, true);
  await assert.rejects(eventsOf(reply.data));
});

test("createChatMessage, refused before the stream begins", async () => {
  const unknown = "00000000-0000-4000-8000-000000000000";
  assert.deepEqual(await refused(chat().createChatMessage({}, "Hello", USER, false, unknown)), {
    status: 404,
    code: "not_found",
    message: "Conversation Not Exists.",
  });
  const agent = new ChatClient("app-emulator-agent", BASE);
  assert.deepEqual(await refused(agent.createChatMessage({}, "Hello", USER)), {
    status: 400,
    code: "invalid_param",
    message: "Agent Chat App does not support blocking mode",
  });
});

test("getConversations, page by page", async () => {
  const { limit, has_more, data } = (await chat().getConversations(USER, null, 2)).data;
  assert.equal(limit, 2);
  assert.equal(has_more, true);
  assert.equal(data.length, 2);
  assert.deepEqual(Object.keys(data[0]).sort(), [
    "created_at",
    "id",
    "inputs",
    "introduction",
    "name",
    "status",
    "updated_at",
  ]);
  // `first_id` and `pinned` are no parameters of the API: they change nothing.
  assert.deepEqual((await chat().getConversations(USER, data[1].id, 2, true)).data.data, data);
});

test("getConversationMessages, page by page", async () => {
  const begun = (await chat().createChatMessage({}, "One", USER)).data;
  for (const query of ["Two", "Three"]) await chat().createChatMessage({}, query, USER, false, begun.conversation_id);
  const last = (await chat().getConversationMessages(USER, begun.conversation_id, null, 2)).data;
  assert.deepEqual([last.limit, last.has_more, last.data.map((one) => one.query)], [2, true, ["Two", "Three"]]);
  const before = (await chat().getConversationMessages(USER, begun.conversation_id, last.data[0].id, 2)).data;
  assert.deepEqual([before.has_more, before.data.map((one) => one.query)], [false, ["One"]]);
});

test("renameConversation, by hand and by model", async () => {
  const { conversation_id } = (await chat().createChatMessage({}, "Where is the lake?", USER)).data;
  assert.equal((await chat().renameConversation(conversation_id, "西湖", USER, false)).data.name, "西湖");
  const renamed = (await chat().renameConversation(conversation_id, "", USER, true)).data;
  assert.equal(renamed.id, conversation_id);
  assert.ok(renamed.name.length > 0 && renamed.name !== "西湖");
});

test("deleteConversation", async () => {
  const { conversation_id } = (await chat().createChatMessage({}, "Forget this.", USER)).data;
  assert.equal((await chat().deleteConversation(conversation_id, USER)).status, 204);
  assert.equal((await refused(chat().deleteConversation(conversation_id, USER))).status, 404);
  assert.equal((await refused(chat().getConversationMessages(USER, conversation_id))).code, "not_found");
});

test("messageFeedback, given, changed and taken back", async () => {
  const { message_id, conversation_id } = (await chat().createChatMessage({}, "Is it good?", USER)).data;
  const shown = async () => (await chat().getConversationMessages(USER, conversation_id)).data.data[0].feedback;
  for (const rating of ["like", "dislike"]) {
    assert.deepEqual((await chat().messageFeedback(message_id, rating, USER)).data, { result: "success" });
    assert.deepEqual(await shown(), { rating });
  }
  assert.deepEqual((await chat().messageFeedback(message_id, null, USER)).data, { result: "success" });
  assert.equal(await shown(), null);
  assert.equal((await refused(chat().messageFeedback(message_id, "love", USER))).code, "invalid_param");
});

test("fileUpload with the package form-data, and the file goes into a chat", async () => {
  const form = new FormData();
  form.append("file", PICTURE, { filename: "Bild.PNG", contentType: "image/png" });
  form.append("user", USER);
  const { status, data: file } = await chat().fileUpload(form);
  assert.equal(status, 201);
  assert.deepEqual([file.name, file.size, file.extension, file.mime_type], ["Bild.PNG", 16, "png", "image/png"]);

  const files = [{ type: "image", transfer_method: "local_file", upload_file_id: file.id }];
  const { conversation_id } = (await chat().createChatMessage({}, "What is this?", USER, false, null, files)).data;
  const [message] = (await chat().getConversationMessages(USER, conversation_id)).data.data;
  assert.equal(message.message_files[0].upload_file_id, file.id);
});

test("fileUpload with the FormData of the platform", async () => {
  const form = new globalThis.FormData();
  form.append("file", new Blob(["你好"], { type: "text/plain" }), "说明.txt");
  form.append("user", USER);
  const { status, data } = await chat().fileUpload(form);
  assert.equal(status, 201);
  assert.deepEqual([data.name, data.size, data.extension], ["说明.txt", 6, "txt"]);
});

test("fileUpload without a file", async () => {
  const form = new FormData();
  form.append("user", USER);
  assert.equal((await refused(chat().fileUpload(form))).code, "no_file_uploaded");
});

test("createCompletionMessage and runWorkflow are of other kinds of apps: not found, told in JSON", async () => {
  const client = new CompletionClient(KEY, BASE);
  for (const call of [() => client.createCompletionMessage({ query: "Hi" }, USER), () => client.runWorkflow({}, USER)]) {
    const { status, code, message } = await refused(call());
    assert.deepEqual([status, code, typeof message], [404, "not_found", "string"]);
  }
  for (const call of [() => client.createCompletionMessage({}, USER, true), () => client.runWorkflow({}, USER, true)]) {
    const { response } = await call().catch((reason) => reason);
    assert.equal(response.status, 404);
    assert.match(response.headers["content-type"], /^application\/json/);
    response.data.destroy();
  }
});
