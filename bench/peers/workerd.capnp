using Workerd = import "/workerd/workerd.capnp";

# The address of the socket is given on the command line.
const config :Workerd.Config = (
  services = [
    (name = "relay", worker = .relay),
    (name = "internet", network = (allow = ["private", "local"])),
  ],
  sockets = [(name = "http", address = "127.0.0.1:0", http = (), service = "relay")],
);

const relay :Workerd.Worker = (
  modules = [(name = "hono", esModule = embed "dist/hono.js")],
  compatibilityDate = "2026-11-01",
  bindings = [(name = "ANTHROPIC", fromEnvironment = "ANTHROPIC")],
);
