// Shows /api/openapi.json. It knows as much of OpenAPI 3.1 as this API uses, and
// makes elements, never HTML of text.

const SCHEMAS = '#/components/schemas/';
const METHODS = ['get', 'post', 'put', 'patch', 'delete'];

/** An element with attributes and children; strings become text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== undefined && child !== ''));
  return made;
}

/** A button that does something, and says for a moment what came of it. */
function button(label, act, done) {
  const made = element('button', { type: 'button', class: 'act' }, label);
  made.addEventListener('click', async () => {
    const said = await act();
    if (!done) return;
    document.querySelector('#said').textContent = made.textContent = said ?? done;
    setTimeout(() => { made.textContent = label; }, 2000);
  });
  return made;
}

/** A listing that can be copied. */
function listing(text) {
  const copy = button('Copy', async () => {
    try {
      await navigator.clipboard.writeText(text);
      return undefined;
    } catch {
      return 'Not copied';
    }
  }, 'Copied');
  return element('div', { class: 'listing' }, element('pre', { tabindex: '0' }, element('code', {}, text)), copy);
}

/** Text with `code` in it. */
function inline(text) {
  return text.split('`').map((part, index) => (index % 2 ? element('code', {}, part) : part));
}

function paragraphs(text) {
  return (text ?? '')
    .split(/\n\s*\n/)
    .filter((part) => part.trim())
    .map((part) => element('p', {}, inline(part.replaceAll('\n', ' '))));
}

const schemaName = (reference) => reference.slice(SCHEMAS.length);

/** A type in a few words, with a link where it has a name. */
function typeOf(schema) {
  if (schema === undefined || schema === true) return ['anything'];
  if (schema.$ref) {
    const name = schemaName(schema.$ref);
    return [element('a', { href: `#schema-${name}` }, name)];
  }
  const several = schema.oneOf ?? schema.anyOf;
  if (several) return several.flatMap((one, index) => [index ? ' or ' : '', ...typeOf(one)]);
  if (schema.allOf) return schema.allOf.flatMap((one, index) => [index ? ' and ' : '', ...typeOf(one)]);
  if (schema.enum) return schema.enum.flatMap((value, index) => [index ? ', ' : '', element('code', {}, String(value))]);
  const types = [schema.type].flat().filter(Boolean);
  if (types.includes('array')) return ['list of ', ...typeOf(schema.items), types.includes('null') ? ' or null' : ''];
  if (types.includes('object') && schema.additionalProperties) return ['by name: ', ...typeOf(schema.additionalProperties)];
  return [types.join(' or ') || 'anything'];
}

/** What has a name, and what is said of it where something is. */
function list(rows) {
  return element('ul', { class: 'list' }, rows.map(([named, said]) =>
    element('li', {}, named, said ? element('div', { class: 'soft' }, inline(said)) : undefined)));
}

const optional = (is) => (is ? element('span', { class: 'soft' }, ' · optional') : '');

/** What a value may be, beyond its type. */
function limits(schema) {
  const said = [];
  const range = (low, high, what) => {
    if (low !== undefined && high !== undefined) said.push(`${low} to ${high}${what}`);
    else if (low !== undefined && low !== 0) said.push(`at least ${low}${what}`);
    else if (high !== undefined) said.push(`at most ${high}${what}`);
  };
  range(schema.minLength, schema.maxLength, ' code points');
  range(schema.minItems, schema.maxItems, ' items');
  range(schema.minimum, schema.maximum, '');
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  if (schema.pattern) said.push(`matches ${schema.pattern}`);
  return said.length ? ` (${said.join('; ')})` : '';
}

/** The members of an object, or the values of an enumeration. */
function members(schema) {
  if (!schema) return [];
  if (schema.$ref) return [element('p', {}, typeOf(schema))];
  const listed = (schema.oneOf ?? []).filter((one) => one.enum && one.description);
  if (listed.length) {
    return [list(listed.map((one) => [element('code', {}, one.enum[0]), one.description]))];
  }
  if (schema.oneOf) return schema.oneOf.flatMap(members);
  if (schema.allOf) return schema.allOf.flatMap(members);
  if (!schema.properties) return [element('p', {}, typeOf(schema), limits(schema))];
  const required = new Set(schema.required);
  return [list(Object.entries(schema.properties).map(([name, member]) => [
    [element('code', {}, name), ' ', typeOf(member), limits(member), optional(!required.has(name))],
    member.description,
  ]))];
}

function example(value) {
  return listing(typeof value === 'string' ? value.trim() : JSON.stringify(value, null, 2));
}

/** One media type of a body. */
function content([mediaType, body], components) {
  const event = body.schema?.$ref && components.schemas[schemaName(body.schema.$ref)];
  const frames = event?.properties?.data?.contentSchema;
  const parts = [element('p', {}, element('code', {}, mediaType), ' ', frames ? ['events, each with a ', typeOf(frames)] : typeOf(body.schema))];
  if (frames) parts.push(...streamFrames(components.schemas[schemaName(frames.$ref)]));
  if (body.example !== undefined) parts.push(example(body.example));
  for (const [name, one] of Object.entries(body.examples ?? {})) {
    parts.push(element('p', { class: 'soft' }, inline(one.summary ?? name)), example(one.value));
  }
  return parts;
}

/** A stream's frames, one by one. */
function streamFrames(schema) {
  return (schema?.oneOf ?? []).map((frame) => {
    const { type, data } = frame.properties;
    return element('details', {},
      element('summary', {}, element('code', {}, type.enum[0]), ' ', inline(frame.description ?? '')),
      data ? members(data.properties ? data : { properties: { data }, required: ['data'] }) : []);
  });
}

function parameters(all) {
  if (!all?.length) return [];
  return [element('h4', {}, 'Parameters'), list(all.map((one) => [
    [element('code', {}, one.name), ` in the ${one.in} `, typeOf(one.schema), limits(one.schema ?? {}), optional(!one.required)],
    one.description,
  ]))];
}

function security(all) {
  if (!all?.length) return [];
  const ways = all.map((way) => Object.keys(way).join(' and '));
  const named = ways.filter(Boolean).join(' or ');
  return [element('p', {}, element('strong', {}, ways.includes('') ? 'Takes ' : 'Needs '),
    element('a', { href: '#security' }, named), ways.includes('') ? ', and does without.' : '.')];
}

function response([status, answer], components) {
  const headers = Object.entries(answer.headers ?? {});
  return element('details', {},
    element('summary', {}, element('span', { class: 'status' }, status), inline(answer.description)),
    headers.length
      ? list(headers.map(([name, one]) => [element('code', {}, name), one.description]))
      : undefined,
    Object.entries(answer.content ?? {}).flatMap((one) => content(one, components)));
}

/** The call as it is typed into a shell. */
function curl(path, method, one) {
  const body = Object.entries(one.requestBody?.content ?? {})[0];
  const parts = [`curl${body ? '' : ' -i'} ${location.origin}${path}`];
  if (method !== 'get') parts.push(`-X ${method.toUpperCase()}`);
  if (body) {
    const [mediaType, { example: shown, examples = {} }] = body;
    const value = shown ?? Object.values(examples)[0]?.value;
    parts.push(`-N -H 'content-type: ${mediaType}'`);
    if (value !== undefined) parts.push(`-d '${JSON.stringify(value).replaceAll("'", "'\\''")}'`);
  }
  return parts.join(' \\\n  ');
}

/** Whether the page can show what the route answers: it reads, and answers with data. */
const isReadable = (method, one) =>
  method === 'get' && Object.keys(one.responses?.[200]?.content ?? {}).some((mediaType) => mediaType.includes('json'));

/** Asks the route from here, with the reader's own session. */
function tryIt(path, one) {
  const fields = (one.parameters ?? []).filter((known) => ['path', 'query'].includes(known.in)).map((known) => {
    const input = element('input', { name: known.name, required: known.required ? '' : undefined, autocomplete: 'off', spellcheck: 'false' });
    return { known, input, label: element('label', {}, element('code', {}, known.name), ' ', input) };
  });
  const answer = element('div', { class: 'answer', role: 'status' });
  const form = element('form', { class: 'try' }, fields.map(({ label }) => label), element('button', { type: 'submit', class: 'act' }, 'Try it'), answer);
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const query = new URLSearchParams();
    let place = path;
    for (const { known, input } of fields) {
      if (known.in === 'path') place = place.replace(`{${known.name}}`, encodeURIComponent(input.value));
      else if (input.value) query.set(known.name, input.value);
    }
    answer.replaceChildren(element('p', {}, 'Asking…'));
    answer.replaceChildren(...await ask(query.size ? `${place}?${query}` : place));
  });
  return form;
}

/** What a route answers, as elements. */
async function ask(url) {
  const began = performance.now();
  try {
    const response = await fetch(url);
    const text = await response.text();
    const took = Math.round(performance.now() - began);
    return [element('p', {}, element('span', { class: 'status' }, String(response.status)), `${response.statusText}, ${took} ms`), listing(pretty(text))];
  } catch (error) {
    return [element('p', {}, `No answer: ${error.message}`)];
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

function operation(path, method, one, components) {
  return element('article', { id: one.operationId, 'aria-labelledby': `${one.operationId}-name` },
    element('h3', { id: `${one.operationId}-name` },
      element('span', { class: `method ${method}` }, method), element('code', {}, path)),
    element('p', {}, element('strong', {}, inline(one.summary ?? ''))),
    paragraphs(one.description),
    security(one.security),
    parameters(one.parameters),
    listing(curl(path, method, one)),
    isReadable(method, one) ? tryIt(path, one) : undefined,
    one.requestBody ? element('h4', {}, 'Body') : undefined,
    one.requestBody ? Object.entries(one.requestBody.content).flatMap((body) => content(body, components)) : [],
    element('h4', {}, 'Answers'),
    Object.entries(one.responses).map((answer) => response(answer, components)));
}

function operations(api) {
  const all = Object.entries(api.paths).flatMap(([path, item]) =>
    METHODS.filter((method) => item[method]).map((method) => ({ path, method, ...item[method] })));
  return (api.tags ?? []).map((tag) => ({
    tag,
    own: all.filter((one) => one.tags?.includes(tag.name)),
  })).filter(({ own }) => own.length);
}

function section(id, title, ...children) {
  return element('section', { id, 'aria-labelledby': `${id}-title` },
    element('h2', { id: `${id}-title` }, title), ...children);
}

function problems(schema) {
  return section('problems', 'Problem types',
    element('p', {}, inline('What an error is, for programs: its `code`. The `type` of a problem document leads here.')),
    schema.oneOf.map((one) => {
      const code = one.enum[0];
      return element('div', { class: 'entry', id: `problem-${code}` },
        element('strong', {}, element('code', {}, code)), ' ', inline(one.description ?? ''));
    }));
}

function schemas(all) {
  return section('schemas', 'Types', Object.entries(all).map(([name, schema]) =>
    element('article', { id: `schema-${name}`, 'aria-labelledby': `schema-${name}-name` },
      element('h3', { id: `schema-${name}-name` }, name),
      paragraphs(schema.description),
      name === 'Frame' ? streamFrames(schema) : members(schema))));
}

function schemes(all) {
  const what = (scheme) => (scheme.type === 'http'
    ? `Authorization: ${scheme.scheme}`
    : `${scheme.in} ${scheme.name}`);
  return section('security', 'Who asks', list(Object.entries(all).map(([name, scheme]) => [
    [element('code', {}, name), ' ', what(scheme)],
    scheme.description,
  ])));
}

function links(title, all) {
  return [element('h2', {}, title), element('ul', {}, all.map(([href, text]) =>
    element('li', {}, element('a', { href }, text))))];
}

/** Leaves in sight what has every one of the words. */
function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const has = (one) => words.every((word) => one.textContent.toLowerCase().includes(word));
  let count = 0;
  for (const part of document.querySelectorAll('main > section')) {
    const entries = [...part.querySelectorAll('article, .entry, #security li')];
    for (const entry of entries) entry.hidden = !has(entry);
    part.hidden = entries.every((entry) => entry.hidden);
    count += entries.filter((entry) => !entry.hidden).length;
  }
  for (const link of document.querySelectorAll('#contents li')) {
    link.hidden = document.getElementById(link.firstChild.hash.slice(1))?.hidden ?? false;
  }
  document.querySelector('#said').textContent = words.length ? `${count} ${count === 1 ? 'place' : 'places'}` : '';
}

function show(api) {
  const main = document.querySelector('#content');
  const { schemas: types = {}, securitySchemes = {} } = api.components ?? {};
  document.querySelector('#title').textContent = `${api.info.title} API ${api.info.version}`;
  document.querySelector('#state').remove();
  const groups = operations(api);
  main.append(
    ...paragraphs(api.info.description),
    ...groups.map(({ tag, own }) => section(`tag-${tag.name}`, tag.name[0].toUpperCase() + tag.name.slice(1),
      paragraphs(tag.description),
      own.map((one) => operation(one.path, one.method, one, api.components)))),
    schemes(securitySchemes),
    problems(types.ErrorCode),
    schemas(types),
  );
  document.querySelector('#contents').append(
    ...groups.flatMap(({ tag, own }) => links(tag.name,
      own.map((one) => [`#${one.operationId}`, `${one.method.toUpperCase()} ${one.path}`]))),
    ...links('more', [['#security', 'Who asks'], ['#problems', 'Problem types'], ['#schemas', 'Types']]),
  );
  document.querySelector('#search').addEventListener('input', ({ target }) => search(target.value));
  document.querySelector('#search-form').addEventListener('submit', (event) => event.preventDefault());
  // The place that the address names was not there when the page was opened.
  const place = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (place) {
    location.replace(location.hash);
    place.scrollIntoView();
  }
}

try {
  const answer = await fetch('/api/openapi.json');
  if (!answer.ok) throw new Error(`the server answers ${answer.status}`);
  show(await answer.json());
} catch (error) {
  document.querySelector('#state').textContent = `The document cannot be shown: ${error.message}`;
}
