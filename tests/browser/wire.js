// A wire between pages and the DJ that a walk can cut.
import { once } from 'node:events';
import { connect, createServer } from 'node:net';

/**
 * A wire to `to`, an origin. Resolves with
 * - `origin`: its near end;
 * - `cut()`: breaks all connections, and takes no new ones;
 * - `mend()`;
 * - `stop()`.
 */
export async function wire(to) {
  const { port, hostname } = new URL(to);
  const ends = new Set();
  let isCut = false;
  const server = createServer((near) => {
    near.on('error', () => {});
    if (isCut) return near.destroy();
    const far = connect(Number(port), hostname);
    for (const [one, other] of [[near, far], [far, near]]) {
      ends.add(one);
      one.pipe(other);
      one.on('error', () => {});
      one.on('close', () => {
        ends.delete(one);
        other.destroy();
      });
    }
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const cut = () => {
    isCut = true;
    for (const end of ends) end.destroy();
  };
  const stop = async () => {
    cut();
    server.close();
    await once(server, 'close');
  };
  return { origin: `http://127.0.0.1:${server.address().port}`, cut, mend: () => (isCut = false), stop };
}
