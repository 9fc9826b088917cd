'use strict';
/* CONTRACT 1 and 3: which requests to the admin API the keys of --admin-keys allow. */

const assert = require('node:assert/strict');
const crypto = require('node:crypto');
const fs = require('node:fs');
const path = require('node:path');
const {
    assertProblem, assertRequestId, exchange, freePort, handshake, secret, sleep, waitUntil,
} = require('./harness');

const newKey = () => secret(crypto.randomBytes(20).toString('hex'));
const KEYS = { push: newKey(), read: newKey(), events: newKey(), admin: newKey() };
const FILE = `# who may do what\n\nshop push ${KEYS.push}\n\tgraphs  read\t${KEYS.read}\r\nbilling events ${KEYS.events}\nops admin ${KEYS.admin}`;

const optionsFor = (file = FILE, more = {}) => ({
    store: 'memory', files: { 'admin.keys': file }, adminKey: KEYS.admin, ...more,
    args: ['--admin-keys', 'admin.keys', '--log-level', 'debug', ...(more.args ?? [])],
});
const shared = (t) => t.sharedHerald('keys', optionsFor());

const JSON_TYPE = 'application/json';
const NDJSON_TYPE = 'application/x-ndjson';

/* Every route, the roles that may use it, and a body. The drain is the last one. */
const ROUTES = [
    ['POST', '/push', ['push', 'admin'], '{"userId":"u","data":1}', JSON_TYPE],
    ['POST', '/push', ['push', 'admin'], '{"userId":"u","data":1}\n', NDJSON_TYPE],
    ['POST', '/broadcast', ['push', 'admin'], '{"data":1}', JSON_TYPE],
    ['POST', '/tickets', ['push', 'admin'], '{"userId":"u"}', JSON_TYPE],
    ['GET', '/online', ['read', 'admin']], /* nobody keeps who is online */
    ['GET', '/webhooks', ['read', 'admin']],
    ['POST', '/webhooks/u/test', ['admin'], '{}', JSON_TYPE],
    ['GET', '/events', ['events', 'admin']], /* without a consumer, and this one keeps no events */
    ['POST', '/events/ack', ['events', 'admin'], '{}', JSON_TYPE],
    ['GET', '/events/consumers', ['events', 'admin']],
    ['DELETE', '/events/consumers/u', ['events', 'admin']],
    ['POST', '/online', ['read', 'admin'], '{"userIds":["u"]}', JSON_TYPE],
    ['GET', '/users/u', ['read', 'admin']],
    ['HEAD', '/users/u', ['read', 'admin']],
    ['GET', '/users/u/inbox', ['read', 'admin']],
    ['GET', '/users/u/messages/abcdefgh-1', ['read', 'admin']],
    ['GET', '/clients', ['read', 'admin']],
    ['GET', '/nodes', ['read', 'admin']],
    ['GET', '/stats', ['read', 'admin']],
    ['GET', '/metrics', ['read', 'admin']],
    ['DELETE', '/users/u/messages/abcdefgh-1', ['admin']],
    ['DELETE', '/users/u/inbox', ['admin']],
    ['DELETE', '/users/u/connections', ['admin']],
    ['POST', '/deleteClient', ['admin'], '{"userId":"u"}', JSON_TYPE],
    ['GET', '/livez', ['nobody', 'push', 'read', 'events', 'admin']],
    ['GET', '/readyz', ['nobody', 'push', 'read', 'events', 'admin']],
    ['POST', '/upgrade', ['admin'], '{}', JSON_TYPE], /* there is none with the memory store */
    ['POST', '/drain', ['admin'], '{}', JSON_TYPE],
];

function ask(herald, [method, target, , body, type], authorization) {
    const headers = { ...(type === undefined ? {} : { 'Content-Type': type }), Authorization: authorization };
    if (authorization === undefined) {
        delete headers.Authorization;
    }
    const plain = Object.assign(Object.create(herald), { adminKey: undefined });
    return plain.request(method, target, { body, headers });
}

const bearer = (key) => (key === undefined ? undefined : `Bearer ${key}`);

function assertUnauthorized(answer, method = 'GET') {
    assert.equal(answer.status, 401, answer.text);
    assert.equal(answer.headers['www-authenticate'], 'Bearer');
    if (method !== 'HEAD') {
        assertProblem(answer, 401, { type: 'unauthorized' });
        assertRequestId(answer);
    }
}

const STATS = ['GET', '/stats'];

/* Herald with these keys ends at once; answers what it says. */
async function refusedStart(t, text) {
    const directory = t.tempDir();
    fs.writeFileSync(path.join(directory, 'bad.keys'), text);
    const end = await t.runToEnd(['--store', 'memory:', '--listen', `127.0.0.1:${await freePort()}`,
        '--admin-listen', `127.0.0.1:${await freePort()}`, '--admin-keys', 'bad.keys'], { cwd: directory });
    assert.equal(end.code, 2, end.stderr);
    return end.stderr;
}

module.exports = (test) => {
    test('each route is for its roles: 401 without a key, 403 with one of another role', async (t) => {
        const herald = await t.herald(optionsFor());
        for (const route of ROUTES) {
            const [method, target, roles] = route;
            for (const role of ['nobody', 'push', 'read', 'admin']) {
                const answer = await ask(herald, route, bearer(KEYS[role]));
                const what = `${method} ${target} as ${role}: ${answer.status} ${answer.text}`;
                if (roles.includes(role)) {
                    assert.ok(answer.status !== 401 && answer.status !== 403, what);
                } else if (role === 'nobody') {
                    assertUnauthorized(answer, method);
                } else {
                    assert.equal(answer.status, 403, what);
                    assert.equal(answer.headers['www-authenticate'], undefined);
                    if (method !== 'HEAD') {
                        assertProblem(answer, 403, { type: 'forbidden' });
                    }
                }
            }
        }
    });

    test('the table above has every route of the sources', async () => {
        const source = fs.readFileSync(path.join(__dirname, '../../admin/routes/routes.c'), 'utf8');
        const rows = [...source.matchAll(/^ {4}\{"([A-Z]+)", "([^"]+)"/gm)].map(([, method, target]) => `${method} ${target}`);
        const tested = new Set(ROUTES.map(([method, target]) => `${method} ${target.replace(/(?<=^\/(users|events\/consumers|webhooks)\/)u\b/, '*').replace('abcdefgh-1', '*')}`));
        assert.ok(rows.length >= 15, `found ${rows.length} routes`);
        for (const row of rows) {
            assert.ok(tested.has(row), `${row} is not tested (${[...tested].join(', ')})`);
        }
    });

    test('whoever has no key learns nothing of what there is', async (t) => {
        const herald = await shared(t);
        for (const route of [['GET', '/nowhere'], ['PUT', '/push'], ['GET', '/push'], ['POST', '/push', [], 'x', 'text/plain'],
            ['POST', '/push', [], 'no JSON', JSON_TYPE], ['GET', '/users/%ff']]) {
            assertUnauthorized(await ask(herald, route));
            assertUnauthorized(await ask(herald, route, 'Bearer wrong-wrong-wrong-wrong'));
        }
        assertProblem(await ask(herald, ['GET', '/nowhere'], bearer(KEYS.push)), 404);
        assertProblem(await ask(herald, ['PUT', '/push'], bearer(KEYS.push)), 405);
    });

    test('a body that nobody may send is not waited for', async (t) => {
        const herald = await shared(t);
        const raw = await t.raw(herald.adminPort);
        raw.send('POST /push HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n'
            + 'Content-Length: 1000000\r\nExpect: 100-continue\r\n\r\n');
        assertUnauthorized(await raw.answer());
    });

    test('what is not a key of the file is 401', async (t) => {
        const herald = await shared(t);
        const key = KEYS.admin;
        const bad = ['', 'Bearer', 'Bearer ', key, `Basic ${key}`, `Bearer ${key}x`, `Bearer ${key.slice(0, -1)}`,
            `Bearer ${key.toUpperCase()}`, `Bearer ${key} ${key}`, `Bearer ops`, `Bearer ops admin ${key}`, `Bearer x, Bearer ${key}`,
            `Bearer ${'k'.repeat(4000)}`];
        for (const authorization of bad) {
            assertUnauthorized(await ask(herald, STATS, authorization));
        }
        for (const authorization of [`Bearer ${key}`, `bearer ${key}`, `BEARER   ${key}`]) {
            assert.equal((await ask(herald, STATS, authorization)).status, 200, authorization);
        }
        assertUnauthorized(await ask(herald, ['GET', `/stats?key=${key}&token=${key}`]));
        const raw = await t.raw(herald.adminPort);
        raw.send(`GET /stats HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer ${key}\r\nAuthorization: Bearer ${key}\r\n\r\n`);
        assertProblem(await raw.answer(), 400);
    });

    test('the admin key means nothing on the subscriber port', async (t) => {
        const herald = await shared(t);
        const headers = { Authorization: bearer(KEYS.admin) };
        assertProblem(await exchange(herald.port, `GET /stats HTTP/1.1\r\nHost: localhost\r\nAuthorization: ${headers.Authorization}\r\n\r\n`), 404);
        assert.equal((await exchange(herald.port, handshake('/ws?userId=u', { headers }))).status, 101, 'nor does it hurt');
    });

    /* CONTRACT 1: these rules are those of the unprotected state; a foreign Origin is refused in any. */
    test('with keys Host and proxies are free, and a foreign Origin is not', async (t) => {
        const herald = await shared(t);
        const headers = { Authorization: bearer(KEYS.read) };
        for (const more of [{ Host: 'admin.example.com' }, { 'X-Forwarded-For': '10.0.0.1' }, { Forwarded: 'for=10.0.0.1' },
            { Host: 'admin.example.com', Origin: 'https://admin.example.com' }]) {
            const answer = await herald.request('GET', '/stats', { headers: { ...headers, ...more } });
            assert.equal(answer.status, 200, `${JSON.stringify(more)} ${answer.text}`);
        }
        for (const origin of ['https://evil.example', 'null', 'http://localhost:1']) {
            const answer = await herald.request('GET', '/stats', { headers: { ...headers, Origin: origin } });
            assertProblem(answer, 403, { type: 'forbidden' });
        }
        const form = await herald.request('POST', '/push', {
            body: 'userId=u', headers: { ...headers, Authorization: bearer(KEYS.push), 'Content-Type': 'application/x-www-form-urlencoded' },
        });
        assertProblem(form, 415);
    });

    test('with keys it may listen beyond loopback', async (t) => {
        const herald = await t.prepare(optionsFor());
        herald.options.args.push('--admin-listen', `0.0.0.0:${herald.adminPort}`);
        await herald.start();
        assertUnauthorized(await ask(herald, STATS));
        assert.equal((await ask(herald, STATS, bearer(KEYS.read))).status, 200);
    });

    for (const [how, reread] of [['on SIGHUP', (herald) => herald.child.signal('SIGHUP')], ['when it changes', () => {}]]) {
        test(`the file is read again ${how}`, async (t) => {
            const herald = await t.herald(optionsFor());
            const next = newKey();
            herald.writeFile('admin.keys', `ops read ${next}\nother push ${KEYS.read}\n`);
            reread(herald);
            await waitUntil('it is read', () => /admin keys read again/.test(herald.log));
            assert.equal((await ask(herald, STATS, bearer(next))).status, 200);
            assertUnauthorized(await ask(herald, STATS, bearer(KEYS.admin)));
            assertProblem(await ask(herald, STATS, bearer(KEYS.read)), 403);
        });
    }

    test('a bad file later leaves the keys as they were, and is logged once, with its line', async (t) => {
        const herald = await t.herald(optionsFor());
        for (const [bad, why] of [[`a read ${newKey()}\nb king ${newKey()}\n`, /line 2: the role/], ['', /no key/]]) {
            const before = herald.log.length;
            herald.writeFile('admin.keys', bad);
            await waitUntil('it is noticed', () => /admin keys stay as they were/.test(herald.log.slice(before)));
            await herald.waitLog(why, before);
            await herald.waitLog(/admin\.keys/, before);
            await sleep(2500);
            assert.equal(herald.log.slice(before).match(/stay as they were/g).length, 1);
            assert.equal((await ask(herald, STATS, bearer(KEYS.admin))).status, 200);
        }
        fs.rmSync(path.join(herald.options.cwd, 'admin.keys'));
        herald.child.signal('SIGHUP');
        await waitUntil('it is missed', () => /admin\.keys cannot be read/.test(herald.log));
        assert.equal((await ask(herald, STATS, bearer(KEYS.admin))).status, 200);
    });

    test('a file that everybody can read is warned of', async (t) => {
        const herald = await t.prepare(optionsFor());
        fs.chmodSync(path.join(herald.options.cwd, 'admin.keys'), 0o644);
        await herald.start();
        await herald.waitLog(/level=warn.*admin\.keys/);
    });

    test('a bad file at the start is an error that names the file and the line: the code is 2', async (t) => {
        const key = newKey();
        const cases = [
            [`good push ${key}\nbad${secret('-name-in-no-message')} role${newKey()}\n`, /--admin-keys: bad\.keys: line 2: the role/],
            [`a push ${secret('short-key-15-by')}\n`, /line 1: the key/],
            [`\n# fine\na push ${key} more\n`, /line 3: nothing may follow/],
            [`a push ${key}\nb read ${key}\n`, /line 2: the key stands there twice/],
            [`a push ${key}\na read ${newKey()}\n`, /line 2: the name/],
            [`${key}\n`, /line 1:/],
            ['# nothing\n', /bad\.keys: there is no key/],
        ];
        for (const [text, message] of cases) {
            assert.match(await refusedStart(t, text), message);
        }
        const end = await t.runToEnd(['--store', 'memory:', '--admin-keys', '/nowhere/admin.keys']);
        assert.equal(end.code, 2, end.stderr);
        assert.match(end.stderr, /--admin-keys: \/nowhere\/admin\.keys/);
    });

    test('requests that are under way when a key goes are answered', async (t) => {
        const herald = await t.herald(optionsFor());
        const client = await herald.subscribe('waits', { autoPong: false });
        const waiting = herald.push('waits', secret(`waited for ${Math.random()}`), { wait: 3 });
        await client.waitCount(1);
        herald.writeFile('admin.keys', `ops admin ${newKey()}\n`);
        herald.child.signal('SIGHUP');
        await waitUntil('it is read', () => /admin keys read again/.test(herald.log));
        assertUnauthorized(await ask(herald, STATS, bearer(KEYS.admin)));
        assert.equal((await waiting).status, 202);
    });
};
