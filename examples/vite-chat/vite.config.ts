import { defineConfig } from "vite";

// `chat-emulator exec` sets these; without it the page talks to a `chat-emulator serve` at its usual place.
const target = process.env.CHAT_EMULATOR_DIFY_URL ?? "http://127.0.0.1:8787/dify/v1";
const key = process.env.CHAT_EMULATOR_DIFY_KEY ?? "app-emulator";

export default defineConfig({
  server: {
    host: "127.0.0.1",
    proxy: {
      // /api/conversations → http://127.0.0.1:…/dify/v1/conversations, with a key that no browser ever sees.
      "/api": {
        target,
        changeOrigin: true,
        headers: { Authorization: `Bearer ${key}` },
        rewrite: (path) => path.replace(/^\/api/, ""),
        configure(proxy) {
          // A connection that breaks in mid-answer has to break in the browser, too; by itself the proxy would leave
          // the browser waiting for ever.
          proxy.on("proxyRes", (answer, _request, reply) => {
            answer.on("close", () => {
              if (!answer.complete) reply.destroy();
            });
          });
        },
      },
    },
  },
});
