// The page's own modules, for tests that need no browser.
import { readFileSync } from 'node:fs';

/** A module of `web/`, with its imports: they are named as the server names them. */
function source(name) {
  const text = readFileSync(new URL(`../../web/${name}`, import.meta.url), 'utf8');
  const linked = text.replace(/'\/assets\/([\w./]+)'/g, (_, other) => `'${source(other)}'`);
  return `data:text/javascript;base64,${Buffer.from(linked).toString('base64')}`;
}

/** What the module `name` exports. */
export const load = (name) => import(source(name));
