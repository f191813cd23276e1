// A real identity provider (oidc-provider) and a real client (oauth4webapi) for tests. Each line on
// the standard input is one wish as JSON, `{"do": ...}`; each gets one line back.
//
//   node provider.mjs PORT CERTIFICATE KEY

import { createInterface } from 'node:readline';
import { createServer } from 'node:https';
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import Provider from 'oidc-provider';
import * as oauth from 'oauth4webapi';

// What the provider has to say is not an answer.
console.info = console.error;

const [port, certificate, key] = process.argv.slice(2);
const issuer = `https://127.0.0.1:${port}`;
const algorithms = ['EdDSA', 'Ed25519', 'ES256', 'RS256', 'ES384', 'PS256'];
const callback = 'https://127.0.0.1/callback';
const secret = 'a secret of the tests, of no use to anybody';

// What the next token is like.
let wanted = { alg: 'EdDSA', ttl: 60 };

// ---------------------------------------------------------------------------- the provider

let generation = 0;
let keys = made();

/** A key of each kind, by a new name. */
function made() {
  generation += 1;
  const pair = (kind, options, name) => {
    const { privateKey } = generateKeyPairSync(kind, options);
    return { ...privateKey.export({ format: 'jwk' }), use: 'sig', kid: `${name}-${generation}` };
  };
  return [
    pair('ed25519', {}, 'ed'),
    pair('ec', { namedCurve: 'P-256' }, 'p256'),
    pair('ec', { namedCurve: 'P-384' }, 'p384'),
    pair('rsa', { modulusLength: 2048 }, 'rsa'),
  ];
}

function provider() {
  const people = algorithms.map((alg) => ({
    client_id: `desktop-${alg}`,
    token_endpoint_auth_method: 'none',
    grant_types: ['authorization_code'],
    response_types: ['code'],
    redirect_uris: [callback],
    id_token_signed_response_alg: alg,
  }));
  const agent = {
    client_id: 'agent',
    client_secret: secret,
    token_endpoint_auth_method: 'client_secret_post',
    grant_types: ['client_credentials'],
    response_types: [],
    redirect_uris: [],
  };
  return new Provider(issuer, {
    jwks: { keys },
    clients: [agent, ...people],
    cookies: { keys: ['of the tests'] },
    enabledJWA: { idTokenSigningAlgValues: algorithms },
    findAccount: (_, sub) => ({ accountId: sub, claims: () => ({ sub }) }),
    ttl: { AuthorizationCode: 60, Grant: 600, IdToken: 60, Interaction: 60, Session: 600 },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: true },
      dPoP: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (_, audience) => ({
          audience,
          scope: 'tools',
          accessTokenFormat: 'jwt',
          accessTokenTTL: wanted.ttl,
          jwt: { sign: { alg: wanted.alg } },
        }),
      },
    },
  });
}

let answering = provider().callback();
let mode = 'up';
const asked = { '/.well-known/openid-configuration': 0, '/jwks': 0 };

const server = createServer(
  { cert: readFileSync(certificate), key: readFileSync(key) },
  (request, response) => {
    const path = request.url.split('?')[0];
    if (path in asked) asked[path] += 1;
    switch (mode) {
      case 'hang':
        return undefined;
      case 'error':
        response.writeHead(500);
        return response.end('{}');
      case 'garbage':
        response.writeHead(200, { 'content-type': 'text/html' });
        return response.end('<html>We are back soon.</html>');
      default:
        return answering(request, response);
    }
  },
);

const listening = () => new Promise((done) => server.listen(Number(port), '127.0.0.1', done));

/** How it behaves: `up`, `away`, or `hang`, `error`, `garbage` in place of every answer. */
async function become(next) {
  if (mode === 'away' && next !== 'away') await listening();
  if (next === 'away') {
    server.close();
    server.closeAllConnections();
  }
  mode = next;
}

// ---------------------------------------------------------------------------- the client

const pairs = new Map();

/** The proofs of a key, which is made at its first use. */
async function proofs(client, name) {
  if (!name) return undefined;
  if (!pairs.has(name)) pairs.set(name, await oauth.generateKeyPair('ES256'));
  return oauth.DPoP(client, pairs.get(name));
}

async function discovered(url = issuer) {
  const response = await oauth.discoveryRequest(new URL(url));
  return oauth.processDiscoveryResponse(new URL(url), response);
}

/** A token of a program, by its own credentials. */
async function token({ resource, proof }) {
  const as = await discovered();
  const client = { client_id: 'agent' };
  const options = { DPoP: await proofs(client, proof) };
  const parameters = { resource, scope: 'tools' };
  const own = oauth.ClientSecretPost(secret);
  const grant = oauth.clientCredentialsGrantRequest(as, client, own, parameters, options);
  return oauth.processClientCredentialsResponse(as, client, await grant);
}

/** The tokens of a person who logs in with a browser. */
async function login({ resource, alg, account }) {
  const as = await discovered();
  const client = { client_id: `desktop-${alg}`, id_token_signed_response_alg: alg };
  const [verifier, state, nonce] = [
    oauth.generateRandomCodeVerifier(),
    oauth.generateRandomState(),
    oauth.generateRandomNonce(),
  ];
  const start = new URL(as.authorization_endpoint);
  start.search = new URLSearchParams({
    client_id: client.client_id,
    redirect_uri: callback,
    response_type: 'code',
    scope: 'openid tools',
    resource,
    state,
    nonce,
    code_challenge: await oauth.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  });
  const back = new URL(await browsed(start.href, account));
  const parameters = oauth.validateAuthResponse(as, client, back, state);
  const grant = oauth.authorizationCodeGrantRequest(
    as,
    client,
    oauth.None(),
    parameters,
    callback,
    verifier,
    { additionalParameters: { resource } },
  );
  return oauth.processAuthorizationCodeResponse(as, client, await grant, {
    expectedNonce: nonce,
    requireIdToken: true,
  });
}

/** Follows the provider's pages, fills in its forms, and ends at the callback. */
async function browsed(url, account) {
  const jar = new Map();
  let body;
  for (let step = 0; step < 20; step += 1) {
    if (url.startsWith(callback)) return url;
    const cookie = [...jar].map(([name, value]) => `${name}=${value}`).join('; ');
    const method = body ? 'POST' : 'GET';
    const response = await fetch(url, { method, body, headers: { cookie }, redirect: 'manual' });
    for (const line of response.headers.getSetCookie()) {
      const [, name, value] = line.match(/^([^=]+)=([^;]*)/);
      if (value) jar.set(name, value);
      else jar.delete(name);
    }
    body = undefined;
    const next = response.headers.get('location');
    if (next) {
      url = new URL(next, url).href;
      continue;
    }
    const page = await response.text();
    const prompt = page.match(/name="prompt" value="(\w+)"/)?.[1];
    const action = page.match(/action="([^"]+)"/)?.[1];
    if (!prompt || !action) throw new Error(`no form: ${response.status} ${page}`);
    body = new URLSearchParams({ prompt, login: account, password: 'any' });
    url = new URL(action, url).href;
  }
  throw new Error('the login does not end');
}

/** Calls a tool; what a challenge says, where there is one. */
async function call({ url, token: own, proof, tool }) {
  const DPoP = await proofs({ client_id: 'agent' }, proof);
  const method = 'tools/call';
  const message = { jsonrpc: '2.0', id: 1, method, params: { name: tool, arguments: {} } };
  const headers = new Headers({
    accept: 'application/json, text/event-stream',
    'content-type': 'application/json',
  });
  const target = new URL(url);
  const text = JSON.stringify(message);
  try {
    const options = { DPoP };
    const sent = oauth.protectedResourceRequest(own, 'POST', target, headers, text, options);
    const response = await sent;
    return { status: response.status, body: await response.json() };
  } catch (error) {
    if (!(error instanceof oauth.WWWAuthenticateChallengeError)) throw error;
    return { status: error.status, challenges: error.cause };
  }
}

/** From a resource to its metadata, and from there to the metadata of who gives tokens. */
async function found({ resource }) {
  const url = new URL(resource);
  const response = await oauth.resourceDiscoveryRequest(url);
  const metadata = await oauth.processResourceDiscoveryResponse(url, response);
  const as = await discovered(metadata.authorization_servers[0]);
  return { metadata, token_endpoint: as.token_endpoint };
}

// ---------------------------------------------------------------------------- wishes

const clock = Date.now;
const wishes = {
  async token(wish) {
    wanted = { ttl: 60, ...wish };
    return token(wish);
  },
  async login(wish) {
    wanted = { ttl: 60, ...wish };
    return login(wish);
  },
  call,
  found,
  /** How far its clock, and that of the client, is ahead of the real one, in seconds. */
  async clock({ ahead }) {
    Date.now = () => clock() + ahead * 1000;
    return {};
  },
  /** New keys sign from now on; the old ones are published besides. */
  async rotate() {
    keys = [...made(), ...keys];
    answering = provider().callback();
    return { kids: keys.map((each) => each.kid) };
  },
  /** Only the newest keys are published. */
  async retire() {
    keys = keys.filter((each) => each.kid.endsWith(`-${generation}`));
    answering = provider().callback();
    return { kids: keys.map((each) => each.kid) };
  },
  async become({ mode: next }) {
    await become(next);
    return {};
  },
  /** How often its metadata and its keys were asked for. */
  async asked() {
    const [metadata, jwks] = Object.values(asked);
    return { metadata, jwks };
  },
};

await listening();
process.stdout.write('{}\n');
for await (const line of createInterface({ input: process.stdin })) {
  let said;
  try {
    const wish = JSON.parse(line);
    said = await wishes[wish.do](wish);
  } catch (error) {
    said = { error: `${error.stack}`, cause: `${error.cause?.error_description ?? error.cause}` };
  }
  process.stdout.write(`${JSON.stringify(said)}\n`);
}
process.exit(0);
