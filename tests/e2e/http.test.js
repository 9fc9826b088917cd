'use strict';
/* The subscriber port as an HTTP server: versions, the health of a node, what its answers carry. */

const assert = require('node:assert/strict');
const tls = require('node:tls');
const { Authority, Raw, assertProblem, exchange, handshake, parallel, range, waitUntil } = require('./harness');

const head = (lines) => [...lines, '', ''].join('\r\n');

module.exports = (test) => {
    /* What nginx speaks to its upstream by default. */
    test('event streams and their acknowledgements are served to a proxy that speaks HTTP/1.0', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const stream = await t.raw(herald.port);
        stream.send(head(['GET /sse?userId=old HTTP/1.0', `Host: 127.0.0.1:${herald.port}`, 'Connection: close']));
        const { id } = await herald.mustPush('old', { n: 1 });
        await waitUntil('the notification', () => stream.bytes.includes('data: {"n":1}\n'));
        const text = stream.bytes.toString();
        assert.match(text, /^HTTP\/1\.1 200 OK\r\n/);
        assert.match(text, /\r\nConnection: close\r\n/);
        assert.doesNotMatch(text, /chunked/i);
        const ack = await exchange(herald.port,
            head([`POST /ack?userId=old&id=${id} HTTP/1.0`, 'Host: localhost', 'Connection: keep-alive', 'Content-Length: 0']));
        assert.equal(ack.status, 204);
        assert.equal(ack.headers.connection, 'keep-alive');
        await waitUntil('the acknowledgement', async () => (await herald.user('old')).pending === 0);
    });

    test('a WebSocket over HTTP/1.0 is 505, and the answer says what the proxy in front has to do', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const answer = await exchange(herald.port, head(['GET /ws?userId=1 HTTP/1.0', 'Host: localhost']));
        assertProblem(answer, 505, { type: 'http-version' });
        assert.match(answer.json.detail, /HTTP\/1\.1.*Upgrade/);
    });

    test('a request without a Host is a proxy\'s where nobody asks who is there, and 400 in HTTP/1.1', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const [port, target] of [[herald.port, '/sse?userId=1'], [herald.adminPort, '/stats']]) {
            assertProblem(await exchange(port, head([`GET ${target} HTTP/1.0`])), 403, { type: 'forbidden' });
            assert.equal((await exchange(port, head([`GET ${target} HTTP/1.1`]))).status, 400);
        }
    });

    test('both ports tell a node\'s health to whoever asks, whatever Host is named, or none', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const port of [herald.port, herald.adminPort]) {
            for (const more of [['Host: 10.0.0.7:8080'], ['Host: lb', 'Via: 1.1 lb', 'X-Forwarded-For: 192.0.2.1']]) {
                const live = await exchange(port, head(['GET /livez HTTP/1.1', ...more, 'Connection: close']));
                assert.deepEqual([live.status, live.text], [200, '{"status":"live"}']);
            }
            const ready = await exchange(port, head(['GET /readyz HTTP/1.0']));
            assert.deepEqual([ready.status, ready.text], [200, '{"status":"ready"}']);
            for (const malformed of ['', 'a b', '[::1', 'a:70000', 'http://a/']) {
                const asked = (target) => exchange(port, head([`GET ${target} HTTP/1.1`, `Host: ${malformed}`, 'Connection: close']));
                assert.equal((await asked('/livez')).status, 200, malformed);
                assert.equal((await asked('/readyz')).status, 200, malformed);
                assert.equal((await asked('/stats')).status, 400, malformed);
            }
            assert.equal((await exchange(port, head(['GET /livez HTTP/1.1', 'Host: a', 'Host: a']))).status, 400);
        }
        assertProblem(await exchange(herald.port, head(['POST /readyz HTTP/1.1', 'Host: a'])), 405);
    });

    /* A token of 155 groups, 12 KB of cookies: CONTRACT 7, --max-head. */
    test('a head is as large as --max-head says, in bytes and in fields, also behind PROXY and TLS', async (t) => {
        const authority = new Authority(t.tempDir());
        const files = authority.issue('server');
        const cookie = `Cookie: a=${'x'.repeat(12000)}`;
        const fields = range(99).map((n) => `X-${n}: ${n}`);
        const usual = await t.sharedHerald('plain', { store: 'memory' });
        for (const more of [[cookie], fields]) {
            const answer = await exchange(usual.port, handshake('/ws?userId=1', { lines: more }));
            assertProblem(answer, 431, { type: 'head-too-large' });
            assert.match(answer.json.detail, /--max-head allows 8192 bytes and 64 fields/);
        }
        const larger = await t.herald({
            store: 'memory', args: ['--max-head', '16KiB', '--trusted-proxy', '127.0.0.0/8', '--insecure'],
        });
        for (const more of [[cookie], fields]) {
            const bytes = handshake('/ws?userId=1', { lines: more });
            assert.equal((await exchange(larger.port, bytes)).status, 101);
            assert.equal((await exchange(larger.port, `PROXY TCP4 192.0.2.7 198.51.100.1 5 443\r\n${bytes}`)).status, 101);
        }
        const over = await exchange(larger.port, handshake('/ws?userId=1', { lines: [`X: ${'x'.repeat(17000)}`] }));
        assert.match(over.json.detail, /--max-head allows 16384 bytes and 128 fields/);
        const sealed = await t.herald({
            store: 'memory', tls: { ca: authority.pem },
            args: ['--max-head', '32KiB', '--tls-cert', files.cert, '--tls-key', files.key],
        });
        const client = await sealed.subscribe('1', { headers: { Cookie: `a=${'x'.repeat(30000)}` } });
        await sealed.mustPush('1', 'large');
        await client.waitCount(1);
    });

    test('a page may send the headers that --cors-header names', async (t) => {
        const args = ['--cors-header', 'traceparent', '--cors-header', 'sentry-trace', '--allowed-origin', 'https://a.example'];
        const herald = await t.herald({ store: 'memory', args });
        for (const target of ['/sse', '/ack']) {
            const answer = await exchange(herald.port, head([`OPTIONS ${target} HTTP/1.1`, 'Host: localhost',
                'Origin: https://a.example', 'Access-Control-Request-Headers: traceparent', 'Connection: close']));
            assert.equal(answer.status, 204);
            assert.equal(answer.headers['access-control-allow-headers'],
                'Authorization, Content-Type, Last-Event-ID, traceparent, sentry-trace');
        }
    });

    test('POST /ack keeps its connection, over refusals, bodies, pipelines and other clients of a proxy', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--trusted-proxy', '127.0.0.0/8', '--insecure'] });
        const raw = await t.raw(herald.port);
        const ack = (user, id, more = []) => head([`POST /ack?userId=${user}&id=${id} HTTP/1.1`, 'Host: localhost', ...more]);
        const ids = { a: [], b: [] };
        for (const user of ['a', 'b', 'a', 'b']) {
            ids[user].push((await herald.mustPush(user, user)).id);
        }
        const statuses = async (count) => {
            const seen = [];
            while (seen.length < count) {
                const answer = await raw.answer();
                assert.ok(Math.abs(Date.parse(answer.headers.date) - Date.now()) < 60000, answer.headers.date);
                seen.push(answer.status);
            }
            return seen;
        };
        raw.send(ack('a', ids.a[0], ['Content-Length: 0', 'X-Forwarded-For: 192.0.2.1']));
        assert.deepEqual(await statuses(1), [204]);
        raw.send(`${ack('b', ids.b[0], ['X-Forwarded-For: 192.0.2.2', 'Content-Length: 4'])}body`);
        assert.deepEqual(await statuses(1), [204]);
        raw.send(ack('a', 'no-id') + ack('a', ids.b[0]) + ack('a', ids.a[1]) + ack('b', ids.b[1]));
        assert.deepEqual(await statuses(4), [400, 409, 204, 204]);
        assert.equal((await herald.user('a')).pending + (await herald.user('b')).pending, 0);
        raw.send(handshake('/ws?userId=a', { headers: { 'X-Forwarded-For': '192.0.2.3' } }));
        assert.deepEqual(await statuses(1), [101]);
        assert.equal((await herald.user('a')).connections[0].address, '192.0.2.3');
    });

    /* 320 KB: more than is held of what was not answered yet. */
    test('acknowledgements that are sent far ahead are all answered in their order, with TLS too', async (t) => {
        const authority = new Authority(t.tempDir());
        const files = authority.issue('server');
        for (const sealed of [null, { ca: authority.pem }]) {
            const args = sealed ? ['--tls-cert', files.cert, '--tls-key', files.key] : [];
            const herald = await t.herald({ store: 'memory', args, ...(sealed ? { tls: sealed } : {}) });
            const { id } = await herald.mustPush('a', 1);
            const ack = (ackId) => head([`POST /ack?userId=a&id=${ackId} HTTP/1.1`, 'Host: localhost', `X: ${'x'.repeat(1500)}`]);
            const raw = sealed ? new Raw(tls.connect({ host: '127.0.0.1', port: herald.port, ...sealed })) : await t.raw(herald.port);
            raw.send((ack(id) + ack('no-id')).repeat(100));
            for (let i = 0; i < 200; i++) {
                assert.equal((await raw.answer()).status, i % 2 === 0 ? 204 : 400, `answer ${i}`);
            }
            raw.destroy();
        }
    });

    /* 256 heads beside the sessions; the idle ones are on either worker, and so are those that need their places. */
    test('kept connections without a request make room at a full node, whichever worker they are on', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-connections', '4', '--workers', '2'] });
        const livez = head(['GET /livez HTTP/1.1', 'Host: a']);
        const resting = [];
        await parallel(250, 20, async () => {
            const raw = await t.raw(herald.port);
            resting.push(raw);
            assert.equal((await raw.send(livez).answer()).status, 200);
        });
        assert.ok(resting.every((raw) => !raw.isEnded));
        const others = [];
        await parallel(260, 20, async () => others.push((await t.raw(herald.port)).send(livez.slice(0, -2))));
        await waitUntil('all have made room', () => resting.every((raw) => raw.isEnded));
        await parallel(260, 20, async (i) => assert.equal((await others[i].send('\r\n').answer()).status, 200));
    });

    test('each answer has the date, refusals, streams and upgrades too', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const asked = [head(['GET /nowhere HTTP/1.1', 'Host: localhost']), 'nonsense\r\n\r\n', handshake('/ws?userId=dated'),
            head(['OPTIONS /ack HTTP/1.1', 'Host: localhost', 'Connection: close'])];
        const stream = await herald.events('dated');
        const dates = [stream.response.headers.date];
        for (const bytes of asked) {
            dates.push((await exchange(herald.port, bytes)).headers.date);
        }
        for (const date of dates) {
            assert.equal(date, new Date(date).toUTCString());
            assert.ok(Math.abs(Date.parse(date) - Date.now()) < 60000, date);
        }
    });

    test('the subscriber port says that its node is going away, and counts no probe as a refusal', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        await herald.post('/drain', {});
        const ready = await exchange(herald.port, head(['GET /readyz HTTP/1.1', 'Host: a', 'Connection: close']));
        assertProblem(ready, 503, { type: 'draining' });
        assert.ok(ready.headers['retry-after']);
        const live = await exchange(herald.port, head(['HEAD /livez HTTP/1.1', 'Host: a', 'Connection: close']));
        assert.deepEqual([live.status, live.text], [200, '']);
        assert.equal(await herald.metric('herald_handshakes_refused_total'), 0);
    });
};
