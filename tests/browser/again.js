// A browser on two shared cores does not do the same each time. A walk that fails
// is walked again, twice at most, and says so: what is broken fails three times.
import walk from 'node:test';

const TRIES = 3;

export default function test(name, steps) {
  walk(name, async (context) => {
    for (let tries = 1; ; tries += 1) {
      try {
        return await steps(context);
      } catch (error) {
        if (tries === TRIES) throw error;
        console.error(`WALKED AGAIN after try ${tries}: ${name}: ${error.message}`);
      }
    }
  });
}
