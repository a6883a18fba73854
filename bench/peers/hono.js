// The relay of the benchmark with Hono on workerd, as its users write it: a
// prompt in, the model's deltas out as frames.
import { EventSourceParserStream } from "eventsource-parser/stream";
import { Hono } from "hono";
import { streamSSE } from "hono/streaming";

const app = new Hono();

app.get("/health", (c) => c.json({ status: "ok" }));

// A document of about the size of Spinlane's.
app.get("/api/status", (c) => {
  const lane = (limit) => ({ limit, held: 0 });
  const upstream = { kind: "real", configured: true };
  return c.json({
    name: "relay",
    version: "0.1.0",
    environment: "production",
    limits: {
      scope: "instance",
      globalRps: 10000,
      lanes: { anthropic: lane(100), spotify: lane(5), deezer: lane(10) },
      launches: { made: 0, allowed: 10000, windowMs: 1000 },
      subrequestBudget: 950,
      caller: null,
    },
    store: { keyValue: false, counters: false },
    upstreams: { anthropic: upstream, spotify: upstream, deezer: upstream },
  });
});

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
