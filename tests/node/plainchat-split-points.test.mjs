// plainchat has no frames, so a page knows markers by how a chunk begins, and where a network cuts does matter there.
// What is promised: in the chunks that the emulator sends, every marker is by itself and every page reads it. What is
// not: that the page's simple reader lives with other chunks. CHAT_EMULATOR_STREAMS is a file with the chunks of every
// scenario: [{name, whole, chunks (base64)}, …].
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"

import { read } from "./plainchat_page.mjs"

const ANSWERS = JSON.parse(readFileSync(process.env.CHAT_EMULATOR_STREAMS, "utf8")).map((answer) => ({
  ...answer,
  chunks: answer.chunks.map((chunk) => Buffer.from(chunk, "base64")),
}))
const isMarker = (chunk) => /^\[(ERROR\]|MESSAGE_ID:)/.test(chunk.toString("latin1"))
const isBlank = (text) => text !== "" && text.trim() === ""

/** What a page shows of these chunks. */
function shown(chunks) {
  const body = new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk)
      controller.close()
    },
  })
  return read(new Response(body))
}

const same = (one, other) =>
  one.content === other.content && one.messageId === other.messageId && one.failed === other.failed

/** The chunks with one of them cut in two, at each of its bytes: [index, byte, chunks]. */
function* cuts(chunks) {
  for (const [index, chunk] of chunks.entries()) {
    for (let at = 1; at < chunk.length; at += 1) {
      const cut = [...chunks]
      cut.splice(index, 1, chunk.subarray(0, at), chunk.subarray(at))
      yield [index, at, cut]
    }
  }
}

test("in the chunks that are sent, a marker is a chunk by itself and ends the answer", async () => {
  assert.ok(ANSWERS.length >= 10)
  for (const { name, chunks } of ANSWERS) {
    const text = Buffer.concat(chunks).toString("utf8")
    const marked = /\[ERROR\]|\[MESSAGE_ID:/.exec(text)
    const markers = chunks.flatMap((chunk, at) => (isMarker(chunk) ? [at] : []))
    assert.deepEqual(markers, marked ? [chunks.length - 1] : [], name)
    const page = await shown(chunks)
    assert.equal(page.failed, text.includes("[ERROR]"), name)
    assert.equal(page.messageId !== undefined, text.includes("[MESSAGE_ID:"), name)
    if (marked && !page.failed && !page.chunks.some(isBlank)) {
      assert.equal(page.content.trim(), text.slice(0, marked.index).trim(), name)
    }
  }
})

test("a cut through text changes nothing, in a character or beside it, unless it leaves blanks alone", async () => {
  let lived = 0
  let blank = 0
  for (const { name, chunks } of ANSWERS) {
    const sent = await shown(chunks)
    const blanks = sent.chunks.filter(isBlank).length
    for (const [index, at, cut] of cuts(chunks)) {
      if (isMarker(chunks[index])) continue
      const page = await shown(cut)
      // A page that skips chunks of nothing but blanks loses those that a network has parted from their words.
      const parted = page.chunks.filter(isBlank).length > blanks && !sent.failed
      assert.equal(same(page, sent), !parted, `${name}, chunk ${index}, byte ${at}`)
      parted ? (blank += 1) : (lived += 1)
    }
  }
  assert.ok(lived > blank && blank > 0, `${lived} ${blank}`)
})

test("a cut through a marker is more than the page's reader can live with, wherever it is", async () => {
  const tried = { id: 0, failure: 0 }
  for (const { name, chunks } of ANSWERS) {
    const sent = await shown(chunks)
    for (const [index, at, cut] of cuts(chunks)) {
      if (!isMarker(chunks[index])) continue
      const page = await shown(cut)
      assert.ok(!same(page, sent), `${name}, byte ${at} of the marker`)
      if (sent.failed) {
        // Half of the marker is text, and a marker with half of its reason is all that is read.
        assert.equal(page.failed, at >= "[ERROR]".length, `${name}, byte ${at} of the marker`)
        tried.failure += 1
      } else {
        assert.equal(page.messageId, undefined)
        assert.ok(page.content.includes("[") && page.content.endsWith("]"))
        tried.id += 1
      }
    }
  }
  assert.ok(tried.id > 0 && tried.failure > 0)
})

test("put together, an id is found anywhere in a chunk, a failure only where one begins", async () => {
  for (const { name, chunks } of ANSWERS) {
    const sent = await shown(chunks)
    const body = Buffer.concat(chunks)
    const marker = isMarker(chunks.at(-1) ?? Buffer.alloc(0)) ? body.length - chunks.at(-1).length : undefined
    if (marker === undefined || marker === 0) continue
    const living = []
    for (let at = 1; at < body.length; at += 1) {
      const page = await shown([body.subarray(0, at), body.subarray(at)])
      if (page.failed === sent.failed && page.messageId === sent.messageId) living.push(at)
    }
    if (sent.failed) assert.deepEqual(living, [marker], `${name}: of all cuts only the one before the marker`)
    else assert.deepEqual(living, [...body.keys()].slice(1, marker + 1), `${name}: all but those in the marker`)
  }
})
