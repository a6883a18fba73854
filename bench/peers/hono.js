// The relay of the benchmark with Hono on workerd, as its users write it: a
// prompt in, the model's deltas out as frames.
import { EventSourceParserStream } from "eventsource-parser/stream";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";

const app = new Hono();

app.get("/health", (c) => c.json({ status: "ok" }));

app.post("/api/chat-stream/message", async (c) => {
  const { message } = await c.req.json();
  return streamSSE(c, async (out) => {
    const answer = await fetch(`${c.env.ANTHROPIC}/v1/messages`, {
      method: "POST",
      headers: {
        "content-type": "application/json",
        "x-api-key": "bench",
        "anthropic-version": "2023-06-01",
      },
      body: JSON.stringify({
        model: "bench",
        max_tokens: 1024,
        stream: true,
        messages: [{ role: "user", content: message }],
      }),
    });
    const events = answer.body
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream());
    let id = 0;
    const frame = (type, data) =>
      out.writeSSE({ id: String(++id), data: JSON.stringify({ type, data }) });
    for await (const event of events) {
      const { delta } = JSON.parse(event.data);
      if (delta?.type === "text_delta") {
        await frame("content", delta.text);
      }
    }
    await frame("done", null);
  });
});

export default app;
