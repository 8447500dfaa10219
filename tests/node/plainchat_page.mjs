// A page that reads plainchat: a reader of the body, a decoder that keeps halves of characters, and a look at how each
// chunk begins. The document shows such a loop; this one is written anew.

const MARKER = /\[MESSAGE_ID:([^\]]+)\]/

// What a page shows of an answer in the end. A chunk that begins with [ERROR] takes the place of all that was shown and
// ends the reading; an id is taken out of the chunk that has it; chunks of nothing but blanks are skipped.
export async function read(response) {
  const reader = response.body.getReader()
  const decoder = new TextDecoder()
  const shown = { content: "", messageId: undefined, failed: false, chunks: [] }
  for (;;) {
    const { done, value } = await reader.read()
    if (done) return shown
    let chunk = decoder.decode(value, { stream: true })
    shown.chunks.push(chunk)
    if (chunk.startsWith("[ERROR]")) {
      await reader.cancel()
      return { ...shown, content: chunk, failed: true }
    }
    const found = chunk.match(MARKER)
    if (found) {
      shown.messageId = found[1]
      chunk = chunk.replace(MARKER, "")
    }
    if (chunk.trim() !== "") shown.content += chunk
  }
}
