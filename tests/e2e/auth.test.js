'use strict';
/* CONTRACT 2, Identity, with --auth jwt: where a token stands, which are good, and what their end does.
 * Sessions that bring it in their first message are in firstauth.test.js. */

const assert = require('node:assert/strict');
const {
    assertProblem, exchange, handshake, jwks, makeKey, makeToken, secret, sleep, waitUntil,
} = require('./harness');

const keys = {};
const keyOf = (alg) => (keys[alg] ??= makeKey(alg, `the ${alg} key`));
const now = () => Math.floor(Date.now() / 1000);

/* A key that names no algorithm has one of the first list. */
const OF_THEMSELVES = ['HS256', 'RS256', 'ES256', 'ES384', 'ES512', 'EdDSA'];
const ALGORITHMS = [...OF_THEMSELVES, 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'];
const DEFAULTS = ['--auth', 'jwt', '--jwt-keys', 'keys', '--workers', '3', '--log-level', 'debug'];

const optionsFor = (file, args = []) => ({ store: 'memory', files: { keys: file }, args: [...DEFAULTS, ...args] });
const allKeys = () => jwks(...ALGORITHMS.map(keyOf));

/* The Herald that most tests share, with a key of each algorithm. */
const shared = (t) => t.sharedHerald('all', optionsFor(allKeys()));

const bearer = (token) => ({ Authorization: `Bearer ${token}` });

/* With an Origin, which is the request's own host, it is a page's. */
const pageHeaders = (headers) => ({ ...headers, Origin: 'http://127.0.0.1' });

async function assertIn(herald, client, userId) {
    const data = secret(`payload for ${userId} ${Math.random()}`);
    await herald.mustPush(userId, data, { ttl: 0 });
    await waitUntil('the push arrives', () => client.values().includes(data));
}

/* Refused with 401 where a status is seen, and with the close code where it is not. */
async function assertRefused(t, herald, target, headers, code = 4101) {
    const answer = await exchange(herald.port, handshake(target, { headers }));
    assertProblem(answer, 401, { type: 'unauthorized' });
    assert.equal(answer.headers['www-authenticate'], 'Bearer');
    const raw = await t.raw(herald.port);
    raw.send(handshake(target, { headers: pageHeaders(headers) }));
    assert.equal((await raw.answer()).status, 101, 'a page sees no status');
    assert.equal(await raw.closeCode(), code);
    await raw.waitEnd();
}

const CARRIERS = [
    ['Authorization', (token) => ({ headers: bearer(token) })],
    ['Authorization, the scheme in other letters', (token) => ({ headers: { Authorization: `bEARER ${token}` } })],
    ['a subprotocol beside herald.plain', (token) => ({ protocols: ['herald.plain', `bearer.${token}`] })],
    ['a subprotocol before herald.plain', (token) => ({ protocols: [`bearer.${token}`, 'herald.plain'] })],
    ['a cookie', (token) => ({ headers: { Cookie: `other=1; herald_token=${token}; last=2` } })],
    ['the query', (token) => ({ query: `&token=${token}` })],
];

const rs = () => keyOf('RS256');

/* [name, token, close code] */
function hostileTokens() {
    const claims = { sub: 'victim' };
    const good = makeToken(rs(), claims);
    const [head, , signature] = good.split('.');
    const other = Buffer.from(JSON.stringify({ sub: 'somebody else', exp: now() + 300 })).toString('base64url');
    const withPem = (kid) => makeToken({ ...rs(), private: rs().pem }, claims, { alg: 'HS256', kid });
    return [
        ['garbage', secret('this-is-no-token')],
        ['three empty parts', '..'],
        ['a token without its signature', `${good.slice(0, good.lastIndexOf('.'))}.`],
        ['another payload under the same signature', secret(`${head}.${other}.${signature}`)],
        ['alg none', makeToken(rs(), claims, { alg: 'none' })],
        ['alg none without a kid', makeToken(rs(), claims, { alg: 'none', kid: undefined })],
        ['HS256 with the RSA public key, with its kid', withPem('the RS256 key')],
        ['HS256 with the RSA public key, without a kid', withPem(undefined)],
        ['a kid that is not known', makeToken({ ...rs(), kid: 'nobody' }, claims)],
        ['the kid of another key', makeToken({ ...rs(), kid: 'the ES256 key' }, claims)],
        ['another key under a known kid', makeToken(makeKey('RS256', 'the RS256 key'), claims)],
        ['crit', makeToken(rs(), claims, { crit: ['exp'] })],
        ['expired beyond the leeway', makeToken(rs(), { ...claims, exp: now() - 40 }), 4100],
        ['expired within the leeway: its life is over all the same', makeToken(rs(), { ...claims, exp: now() - 10 }), 4100],
        ['no exp', makeToken(rs(), { ...claims, exp: null })],
        ['exp as a string', makeToken(rs(), { ...claims, exp: String(now() + 300) })],
        ['nbf beyond the leeway', makeToken(rs(), { ...claims, nbf: now() + 60 })],
        ['no sub', makeToken(rs(), {})],
        ['an empty sub', makeToken(rs(), { sub: '' })],
        ['a sub that is a fraction', makeToken(rs(), { sub: 7.5 })],
        ['a sub of 129 bytes', makeToken(rs(), { sub: 'x'.repeat(129) })],
        ['a sub with a control character', makeToken(rs(), { sub: 'a\nb' })],
    ];
}

const RULES = ['--jwt-audience', 'herald', '--jwt-issuer', 'https://issuer.example'];
const RULED = { aud: 'herald', iss: 'https://issuer.example' };

module.exports = (test) => {
    for (const alg of ALGORITHMS) {
        test(`${alg}: a token lets in whom its sub names, with a kid and without`, async (t) => {
            const herald = await shared(t);
            for (const kid of [keyOf(alg).kid, undefined]) {
                const userId = `${alg} ${kid}`;
                const token = makeToken(keyOf(alg), { sub: userId }, { kid });
                const client = await herald.subscribe(null, { headers: bearer(token) });
                await assertIn(herald, client, userId);
                await client.close();
            }
        });
    }

    for (const alg of OF_THEMSELVES) {
        test(`${alg}: its key may be the whole file, without a kid`, async (t) => {
            const key = makeKey(alg);
            const herald = await t.herald(optionsFor(alg === 'HS256' ? key.private : key.pem));
            const client = await herald.subscribe(null, { headers: bearer(makeToken(key, { sub: 'u' })) });
            await assertIn(herald, client, 'u');
            const named = await herald.subscribe(null, { headers: bearer(makeToken({ ...key, kid: 'any' }, { sub: 'v' })) });
            await assertIn(herald, named, 'v');
            for (const other of ALGORITHMS.filter((name) => name !== alg)) {
                await assertRefused(t, herald, '/ws', bearer(makeToken({ ...keyOf(other), kid: undefined }, { sub: 'u' })));
            }
        });
    }

    test('a token may stand in each of its places', async (t) => {
        const herald = await t.herald(optionsFor(allKeys(), ['--token-cookie', 'herald_token', '--token-in-query']));
        for (const [name, carry] of CARRIERS) {
            const client = await herald.subscribe(null, carry(makeToken(keyOf('ES256'), { sub: name })));
            await assertIn(herald, client, name);
            assert.doesNotMatch(client.socket.protocol, /bearer/, 'a token is never answered');
            await client.close();
        }
        const client = await herald.subscribeV1(null,
            { protocols: ['herald.v1', `bearer.${makeToken(keyOf('ES256'), { sub: 'v1' })}`] });
        await client.wait('hello');
        assert.equal(client.hello.user, 'v1');
        assert.equal(client.auths.length, 0, 'nobody asked in a message');
    });

    test('the cookie and the query carry no token unless the options say so', async (t) => {
        const herald = await shared(t);
        const token = makeToken(rs(), { sub: 'u' });
        await assertRefused(t, herald, `/ws?token=${token}`, {});
        await assertRefused(t, herald, '/ws', { Cookie: `herald_token=${token}; token=${token}` });
        await assertRefused(t, herald, '/ws', {});
        await assertRefused(t, herald, '/ws?userId=u', {});
    });

    test('an Authorization that stands there outranks the others, and a bad one is not passed over', async (t) => {
        const herald = await shared(t);
        const offer = { 'Sec-WebSocket-Protocol': `herald.plain, bearer.${makeToken(rs(), { sub: 'second' })}` };
        const client = await herald.subscribe(null, {
            headers: bearer(makeToken(rs(), { sub: 'first' })), protocols: offer['Sec-WebSocket-Protocol'].split(', '),
        });
        await assertIn(herald, client, 'first');
        await assertRefused(t, herald, '/ws', { ...offer, ...bearer('nonsense') });
        const twice = { headers: { Authorization: 'Basic abc' }, lines: [`Authorization: Bearer ${makeToken(rs(), { sub: 'u' })}`] };
        assertProblem(await exchange(herald.port, handshake('/ws', twice)), 400);
        await assertRefused(t, herald, '/ws', { ...offer, Authorization: 'Bearer' });
    });

    test('an Authorization of another scheme is somebody else\'s: the token may stand elsewhere', async (t) => {
        const herald = await shared(t);
        const token = makeToken(rs(), { sub: 'behind a proxy' });
        await assertIn(herald, await herald.subscribe(null, {
            headers: { Authorization: 'Basic abc' }, protocols: ['herald.plain', `bearer.${token}`],
        }), 'behind a proxy');
        await assertRefused(t, herald, '/ws', { Authorization: 'Basic abc' });
    });

    test('a parameter given twice is 400, the token and the ticket included', async (t) => {
        const herald = await shared(t);
        const headers = bearer(makeToken(rs(), { sub: 'u' }));
        for (const field of ['token', 'ticket']) {
            for (const path of ['/ws', '/sse']) {
                const answer = await exchange(herald.port, handshake(`${path}?${field}=a&${field}=a`, { headers }));
                assertProblem(answer, 400, { type: 'invalid-field', field });
            }
        }
    });

    test('a userId in the address may be left out, and must equal sub byte for byte', async (t) => {
        const herald = await shared(t);
        const userId = 'é /&"\\ 😀';
        const headers = bearer(makeToken(rs(), { sub: userId }));
        await assertIn(herald, await herald.subscribe(userId, { headers }), userId);
        await assertIn(herald, await herald.subscribe(null, { headers }), userId);
        for (const other of ['somebody else', `${userId} `, userId.toUpperCase(), userId.normalize('NFD')]) {
            await assertRefused(t, herald, herald.target('/ws', other), headers);
        }
        const empty = await exchange(herald.port, handshake('/ws?userId=', { headers }));
        assertProblem(empty, 400, { field: 'userId' });
    });

    test('a hostile token is refused, whatever is wrong with it', async (t) => {
        const herald = await shared(t);
        for (const [name, token, code] of hostileTokens()) {
            await assertRefused(t, herald, '/ws?', bearer(token), code).catch((error) => {
                error.message = `${name}: ${error.message}`;
                throw error;
            });
        }
        assert.equal((await herald.user('victim')).online, false);
    });

    test('nbf within the leeway of 30 s is let in', async (t) => {
        const herald = await shared(t);
        const token = makeToken(rs(), { sub: 'soon', nbf: now() + 20 });
        await assertIn(herald, await herald.subscribe(null, { headers: bearer(token) }), 'soon');
    });

    test('aud and iss are checked when the options name them', async (t) => {
        const herald = await t.herald(optionsFor(allKeys(), RULES));
        const may = (claims) => bearer(makeToken(rs(), { sub: 'u', ...claims }));
        for (const claims of [RULED, { ...RULED, aud: ['other', 'herald'] }]) {
            const client = await herald.subscribe(null, { headers: may(claims) });
            await assertIn(herald, client, 'u');
        }
        const bad = [{}, { ...RULED, aud: undefined }, { ...RULED, iss: undefined }, { ...RULED, aud: 'Herald' },
            { ...RULED, aud: ['herald', 7] }, { ...RULED, aud: [] }, { ...RULED, iss: 'https://issuer.example/' }];
        for (const claims of bad) {
            await assertRefused(t, herald, '/ws', may(claims));
        }
    });

    test('a foreign Origin is 403 with the best of tokens', async (t) => {
        const herald = await shared(t);
        const headers = { ...bearer(makeToken(rs(), { sub: 'u' })), Origin: 'https://evil.example' };
        assertProblem(await exchange(herald.port, handshake('/ws', { headers })), 403, { type: 'forbidden' });
    });

    /* CONTRACT 1: only the unprotected state has rules for Host and proxies. */
    test('with tokens a proxy and any Host are welcome', async (t) => {
        const herald = await shared(t);
        const headers = { ...bearer(makeToken(rs(), { sub: 'u' })), 'X-Forwarded-For': '10.1.2.3' };
        const answer = await exchange(herald.port, handshake('/ws', { host: 'push.example.com', headers }));
        assert.equal(answer.status, 101);
    });

    test('within a second of exp a plain, a herald.v1 and an SSE session end', { tries: 3 }, async (t) => {
        const herald = await shared(t);
        const exp = now() + 3;
        const headers = bearer(makeToken(rs(), { sub: 'ending', exp }));
        const ends = [];
        const note = (name) => (end) => ends.push({ name, code: end?.code, lateMs: Date.now() - exp * 1000 });
        (await herald.subscribe(null, { headers })).closed.then(note('plain'));
        (await herald.subscribeV1(null, { headers })).closed.then(note('v1'));
        (await herald.events(null, { headers })).ended.then(note('sse'));
        await waitUntil('all have ended', () => ends.length === 3);
        for (const { name, code, lateMs } of ends) {
            assert.equal(code, name === 'sse' ? undefined : 4100, name);
            assert.ok(lateMs > -1000 && lateMs < 1000, `${name} ended ${lateMs} ms behind exp`);
        }
        assert.equal((await herald.user('ending')).online, false);
    });

    test('a renewal extends a herald.v1 session, and says until when', { tries: 3 }, async (t) => {
        const herald = await shared(t);
        const client = await herald.subscribeV1(null, { headers: bearer(makeToken(rs(), { sub: 'renewed', exp: now() + 2 })) });
        await client.wait('hello');
        const exp = now() + 60;
        const before = await herald.metric('herald_token_renewals_total');
        client.send({ type: 'auth', token: makeToken(keyOf('EdDSA'), { sub: 'renewed', exp }) });
        const [answer] = await client.wait('auth');
        assert.deepEqual(answer, { type: 'auth', expires: exp * 1000 });
        await sleep(3000);
        await client.roundTrip();
        assert.equal(client.hellos.length, 1);
        assert.equal(await herald.metric('herald_token_renewals_total'), before + 1);
    });

    test('a renewal for another user, a bad one and an expired one close', async (t) => {
        const herald = await shared(t);
        const cases = [
            [makeToken(rs(), { sub: 'another' }), 4101], [secret('not-a-token-at-all'), 4101],
            [makeToken(rs(), { sub: 'u', exp: now() - 60 }), 4100],
        ];
        for (const [token, code] of cases) {
            const client = await herald.subscribeV1(null, { headers: bearer(makeToken(rs(), { sub: 'u' })) });
            await client.wait('hello');
            client.send({ type: 'auth', token });
            assert.equal((await client.waitClosed()).code, code);
        }
        const client = await herald.subscribeV1(null, { headers: bearer(makeToken(rs(), { sub: 'u' })) });
        client.send({ type: 'auth' });
        const [error] = await client.wait('error');
        assert.equal(error.code, 'bad-auth');
        await client.roundTrip();
    });

    test('--auth none takes no tokens, and says so', async (t) => {
        const herald = await t.sharedHerald('none', { store: 'memory' });
        const client = await herald.subscribeV1('u');
        client.send({ type: 'auth', token: makeToken(rs(), { sub: 'u' }) });
        assert.equal((await client.wait('error'))[0].code, 'auth-off');
        await client.roundTrip();
    });

    test('GET /sse needs a token: 401, which a page of an allowed Origin may read', async (t) => {
        const herald = await shared(t);
        const token = makeToken(rs(), { sub: 'stream' });
        const origin = `http://127.0.0.1:${herald.port}`;
        for (const headers of [{}, bearer('nonsense'), bearer(makeToken(rs(), { sub: 'stream', exp: now() - 60 }))]) {
            const answer = await herald.request('GET', '/sse', { port: herald.port, headers: { ...headers, Origin: origin } });
            assertProblem(answer, 401, { type: 'unauthorized' });
            assert.equal(answer.headers['www-authenticate'], 'Bearer');
            assert.equal(answer.headers['access-control-allow-origin'], origin);
        }
        assertProblem(await herald.request('GET', '/sse?userId=another', { port: herald.port, headers: bearer(token) }), 401);
        const stream = await herald.events(null, { headers: bearer(token) });
        assert.equal(stream.status, 200);
        await assertIn(herald, stream, 'stream');
    });

    test('POST /ack needs a token of the same user', async (t) => {
        const herald = await shared(t);
        const headers = bearer(makeToken(rs(), { sub: 'acks' }));
        const { id } = await herald.mustPush('acks', secret(`to be acknowledged ${Math.random()}`));
        const ack = (userId, given) => herald.request('POST', herald.target('/ack', userId, `&id=${id}`),
            { port: herald.port, headers: given });
        for (const [userId, given] of [[null, {}], ['acks', {}], ['acks', bearer('nonsense')], ['other', headers],
            ['acks', bearer(makeToken(rs(), { sub: 'other' }))]]) {
            const answer = await ack(userId, given);
            assertProblem(answer, 401, { type: 'unauthorized' });
            assert.equal(answer.headers['www-authenticate'], 'Bearer');
        }
        assert.equal((await herald.user('acks')).pending, 1);
        const answer = await ack(null, headers);
        assert.equal(answer.status, 204, answer.text);
        await herald.waitPending('acks', 0);
    });

    for (const [how, reread] of [['on SIGHUP', (herald) => herald.child.signal('SIGHUP')], ['when they change', () => {}]]) {
        test(`the keys are read again ${how}: old tokens are refused, open sessions stay`, async (t) => {
            const [old, next] = [makeKey('HS256', 'old'), makeKey('ES256', 'next')];
            const herald = await t.herald(optionsFor(jwks(old)));
            const oldToken = makeToken(old, { sub: 'u' });
            const open = await herald.subscribe(null, { headers: bearer(oldToken) });
            herald.writeFile('keys', jwks(next));
            reread(herald);
            await waitUntil('they are read', () => /keys for tokens read again/.test(herald.log));
            await assertRefused(t, herald, '/ws', bearer(oldToken));
            const client = await herald.subscribe(null, { headers: bearer(makeToken(next, { sub: 'u' })) });
            await assertIn(herald, client, 'u');
            await assertIn(herald, open, 'u');
        });
    }

    test('a bad file of keys leaves the old ones, and is logged once, without what stands in it', async (t) => {
        const key = makeKey('HS256', 'kept');
        const herald = await t.herald(optionsFor(jwks(key)));
        const bad = makeKey('HS256', 'bad');
        herald.writeFile('keys', `{"keys":[{"kty":"oct","k":"${secret('!!no-base64!!')}"}]}`);
        await waitUntil('it is noticed', () => /keys for tokens stay as they were/.test(herald.log));
        await herald.waitLog(/keys for tokens stay as they were" result=refused .*no key in it can be used; key 1: k is missing/);
        await sleep(2500);
        assert.equal(herald.log.match(/stay as they were/g).length, 1);
        const client = await herald.subscribe(null, { headers: bearer(makeToken(key, { sub: 'u' })) });
        await assertIn(herald, client, 'u');
        await assertRefused(t, herald, '/ws', bearer(makeToken(bad, { sub: 'u' })));
    });

    test('without keys, or with bad ones, it does not start: the code is 2, and the message names the file', async (t) => {
        const directory = t.tempDir();
        const key = makeKey('HS256');
        const start = (args) => t.runToEnd(['--store', 'memory:', '--auth', 'jwt', ...args], { cwd: directory });
        const fs = require('node:fs');
        fs.writeFileSync(`${directory}/short`, secret('too-short'));
        fs.writeFileSync(`${directory}/empty`, '');
        fs.writeFileSync(`${directory}/cut`, jwks(key).slice(0, -10));
        assert.match((await start([])).stderr, /--jwt-keys/);
        for (const name of ['short', 'empty', 'cut', 'missing']) {
            const end = await start(['--jwt-keys', name]);
            assert.equal(end.code, 2, end.stderr);
            assert.match(end.stderr, new RegExp(`--jwt-keys: ${name}`));
        }
    });
};
