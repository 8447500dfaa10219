// Reads plainchat as a page does, with nothing but what a browser has.
//
// CHAT_EMULATOR_URL is the server; CHAT_EMULATOR_SESSION, when it is set, the session.

import assert from "node:assert/strict"
import { test } from "node:test"

import { read } from "./plainchat_page.mjs"

const session = process.env.CHAT_EMULATOR_SESSION
const base = `${process.env.CHAT_EMULATOR_URL}${session ? `/_s/${session}` : ""}/plainchat`

async function ask(message, { scenario, ...members } = {}) {
  const headers = { "Content-Type": "application/json" }
  if (scenario) headers["X-Emulator-Scenario"] = scenario
  const body = JSON.stringify({ message, username: "abc-123", ...members })
  const response = await fetch(`${base}/api/chat`, { method: "POST", headers, body })
  assert.equal(response.status, 200)
  return response
}

async function json(path) {
  const response = await fetch(`${base}${path}`)
  assert.equal(response.status, 200)
  return response.json()
}

// The answer does not name its conversation: a new one is the first of the list.
async function lastMessage() {
  const { conversations } = await json("/api/conversations/list/abc-123")
  const { data } = await json(`/api/conversations/${conversations[0].id}/history?username=abc-123`)
  return data.at(-1)
}

test("an answer is shown as the history has it, and its id leads to suggestions", async () => {
  const shown = await read(await ask("How do I reset my password?"))
  const message = await lastMessage()
  assert.equal(message.query, "How do I reset my password?")
  assert.equal(shown.content.trim(), message.answer)
  const { data } = await json(`/api/chat/next_suggest/${shown.messageId}?username=abc-123`)
  assert.equal(data.length, 3)
})

test("a long answer keeps its paragraphs", async () => {
  const shown = await read(await ask("Tell me more", { scenario: "long-answer" }))
  assert.equal(shown.content, (await lastMessage()).answer)
  assert.equal(shown.content.split("\n").length, 9)
})

test("characters that are cut are whole on the page", async () => {
  const shown = await read(await ask("多少钱？", { scenario: "cut-characters" }))
  assert.equal(shown.content, "三张票一共 45 €，明天在 Café 门口见 👋")
  assert.equal((await lastMessage()).answer, shown.content)
})

// How often, of five answers to the same question, `good` holds for what a page has read. Nothing on the way keeps chunks
// apart: a client that is kept from reading for long enough gets two of them as one, so one in five is forgiven.
async function mostly(scenario, good) {
  const answers = []
  for (let turn = 0; turn < 5; turn += 1) answers.push(await read(await ask("Well?", { scenario })))
  const bad = answers.filter((shown) => !good(shown))
  assert.ok(bad.length <= 1, `these came otherwise: ${JSON.stringify(bad)}`)
}

for (const [scenario, reason] of [
  ["error-mid-stream", "The model did not answer."],
  ["model-unreachable", "Connection refused"],
]) {
  test(`${scenario}: the marker of a failure begins a chunk and is all that is shown`, async () => {
    await mostly(scenario, (shown) => shown.failed && shown.content === `[ERROR] AI服务异常: ${reason}` && !shown.messageId)
  })
}

test("the marker with the id is a chunk by itself", async () => {
  await mostly("default", (shown) => /^\[MESSAGE_ID:[0-9a-f-]{36}\]$/.test(shown.chunks.at(-1)))
})

test("an unknown conversation fails in the text", async () => {
  const shown = await read(await ask("Hello", { conversation_id: "00000000-0000-4000-8000-000000000000" }))
  assert.equal(shown.content, "[ERROR] AI服务异常: Conversation Not Exists.")
})

test("nothing but the id comes when nothing was said", async () => {
  const shown = await read(await ask("Anything?", { scenario: "empty-answer" }))
  assert.equal(shown.content, "")
  assert.ok(shown.messageId)
})

test("a text that just ends leaves a page without an id", async () => {
  const shown = await read(await ask("Why?", { scenario: "ends-without-marker" }))
  assert.equal(shown.content, "The first of the three reasons is")
  assert.equal(shown.messageId, undefined)
})

test("a connection that breaks is an error of the reading", async () => {
  const response = await ask("Well?", { scenario: "disconnect-mid-stream" })
  await assert.rejects(read(response))
  assert.match((await lastMessage()).answer, /goes on where nobody can hear it any more\.$/)
})

test("pictures of a question can be fetched from the history", async () => {
  const form = new FormData()
  for (const name of ["a.png", "b.png"]) form.append("files", new Blob([name], { type: "image/png" }), name)
  form.append("username", "abc-123")
  const uploaded = await fetch(`${base}/api/file/upload`, { method: "POST", body: form })
  const { file_ids } = await uploaded.json()
  await read(await ask("What is on these?", { file_ids }))
  const { message_files } = await lastMessage()
  assert.deepEqual(message_files.map((file) => file.id), file_ids)
  const fetched = await Promise.all(message_files.map(async (file) => (await fetch(file.url)).text()))
  assert.deepEqual(fetched, ["a.png", "b.png"])
})
