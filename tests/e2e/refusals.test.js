'use strict';
/* Refusals that somebody can act on: what they say to the page and to its developer. */

const assert = require('node:assert/strict');
const { Authority, assertProblem, exchange, handshake, jwks, makeKey, makeToken, secret, waitUntil } = require('./harness');

const head = (lines) => [...lines, '', ''].join('\r\n');

module.exports = (test) => {
    test('a proxy that shows itself is refused where nobody asks who is there, on both ports', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        for (const sign of ['Via: 1.1 cache', 'X-Real-IP: 192.0.2.1', 'x-real-ip: ']) {
            const asked = (port, target) => exchange(port, head([`GET ${target} HTTP/1.1`, 'Host: localhost', sign]));
            const subscriber = await asked(herald.port, '/sse?userId=1');
            assertProblem(subscriber, 403, { type: 'forbidden' });
            assert.match(subscriber.json.detail, /--insecure/, sign);
            const admin = await asked(herald.adminPort, '/stats');
            assertProblem(admin, 403, { type: 'forbidden' });
            assert.match(admin.json.detail, /--insecure/, sign);
        }
    });

    test('the 403 of a page names the option that lets its origin in', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const detailFor = async (Origin) => {
            const answer = await exchange(herald.port, handshake('/ws?userId=1', { headers: { Origin } }));
            assertProblem(answer, 403, { type: 'forbidden' });
            return answer.json.detail;
        };
        assert.equal(await detailFor('http://localhost:5173'),
            'the Origin is not allowed (--allowed-origin http://localhost:5173 allows it)');
        for (const odd of ['', 'https://*.example.com', 'https://a/b', `https://${'a'.repeat(400)}`, 'https://ä"\\', 'ws://a', 'wss://a:1']) {
            assert.equal(await detailFor(odd), 'the Origin is not allowed, and none that --allowed-origin can name', odd);
        }
    });

    test('on a port that speaks TLS an http page of the same host is foreign', async (t) => {
        const authority = new Authority(t.tempDir());
        const files = authority.issue('server');
        const herald = await t.herald({
            store: 'memory', tls: { ca: authority.pem }, args: ['--tls-cert', files.cert, '--tls-key', files.key],
        });
        for (const [scheme, status] of [['http', 403], ['https', 200]]) {
            const stream = await herald.events('1', { headers: { Origin: `${scheme}://127.0.0.1:${herald.port}` } });
            assert.equal(stream.response.statusCode, status, scheme);
            stream.terminate();
        }
    });

    test('a refused origin is one line in the log, which says what would let it in', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const linesOf = (origin) => herald.log.split('\n').filter((line) => line.includes('event="request refused"') &&
            line.includes(`origin=${origin} `));
        for (let i = 0; i < 5; i++) {
            await exchange(herald.port, handshake('/ws?userId=u1&token=x', { headers: { Origin: 'http://localhost:5173' } }));
        }
        await exchange(herald.port, handshake('/ws?userId=u2', { headers: { Origin: 'https://b.example' } }));
        await exchange(herald.port, handshake('/ws?userId=u3', { host: 'rebound.example' }));
        await waitUntil('all are told', () => linesOf('https://b.example').length === 1 && herald.log.includes('host=rebound.example'));
        const lines = linesOf('http://localhost:5173');
        assert.equal(lines.length, 1, lines.join('\n'));
        assert.match(lines[0], /level=info .*why="the Origin is not allowed" .*path=\/ws address=127\.0\.0\.1 user=u1 /);
        assert.match(lines[0], /advice="--allowed-origin http:\/\/localhost:5173"/);
        assert.doesNotMatch(herald.log, /token=x/);
    });

    test('a developer finds his own origin in the log, whatever others make up', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        for (let i = 0; i < 40; i++) {
            await exchange(herald.port, handshake('/ws?userId=u', { headers: { Origin: `https://made-up-${i}.example` } }));
        }
        await exchange(herald.port, handshake('/ws?userId=u', { headers: { Origin: 'http://localhost:3000' } }));
        await waitUntil('the line', () => herald.log.includes('advice="--allowed-origin http://localhost:3000"'));
    });

    test('what a page cannot see is a line in the log, once for each cause', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const own = { Origin: `http://127.0.0.1:${herald.port}` };
        const host = { host: `127.0.0.1:${herald.port}` };
        const socket = (target, headers = {}, lines = []) => handshake(target, { ...host, headers: { ...own, ...headers }, lines });
        const stream = (target, lines) => head([`GET ${target} HTTP/1.1`, `Host: 127.0.0.1:${herald.port}`, ...lines]);
        const fromPage = [`Origin: ${own.Origin}`, 'Accept: text/event-stream'];
        const cases = [
            [403, socket('/ws?userId=u', {}, ['Origin: http://b']), /why="Origin stands twice"/],
            [400, socket('/ws?userId=u', { 'Sec-WebSocket-Protocol': 'bearer.abc' }), /why="a token is offered alone: .*path=\/ws .* user=u /],
            [400, socket('/ws?userId=u', { 'Sec-WebSocket-Protocol': 'chat' }), /why="Sec-WebSocket-Protocol offers no name that is known here/],
            [400, socket('/ws'), /why="userId is missing" .*path=\/ws /],
            [426, socket('/ws?userId=u', { Upgrade: null, Connection: null }), /why="this is not a WebSocket request" /],
            [404, socket('/socket?userId=u'), /why="WebSockets are at .*path=\/socket /],
            [400, stream('/sse?userId=u&after=x', fromPage), /why="[^"]*after[^"]*" .*path=\/sse /],
            [403, stream('/sse?userId=u', ['Sec-Fetch-Site: cross-site']), /another site asks .*advice="[^"]*--allowed-origin/],
        ];
        for (const [status, bytes] of [...cases, ...cases]) {
            assert.equal((await exchange(herald.port, bytes)).status, status, bytes);
        }
        const lines = () => herald.log.split('\n').filter((line) => line.includes('event="request refused"'));
        await waitUntil('all are told', () => cases.every(([, , line]) => lines().some((told) => line.test(told))));
        const whys = lines().map((line) => /why="[^"]*"|why=\S+/.exec(line)[0]);
        assert.equal(new Set(whys).size, whys.length, lines().join('\n'));
        assert.doesNotMatch(herald.log, /bearer\.abc/);
        const before = lines().length;
        assert.equal((await exchange(herald.port, handshake('/ws', host))).status, 400);
        await exchange(herald.port, handshake('/ws?userId=u', { headers: { Origin: 'http://last' } }));
        await waitUntil('a later line', () => herald.log.includes('origin=http://last '));
        assert.equal(lines().length, before + 1, 'who sees the status needs no line');
    });

    test('that a user is blocked is told to the page, to the client and in the log', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        await herald.post('/deleteClient', { userId: 'bad', blockFor: 60 });
        const blocked = await exchange(herald.port, handshake('/ws?userId=bad', { host: 'localhost' }));
        assertProblem(blocked, 403, { type: 'forbidden' });
        await waitUntil('the line', () => /event="request refused" why="the user is blocked" .*path=\/ws address=127\.0\.0\.1 user=bad advice=/.test(herald.log));
    });

    test('a page is told which check its token failed, in the close reason, and the log tells it once', { tries: 3 }, async (t) => {
        const key = makeKey('HS256', 'k');
        const herald = await t.herald({
            store: 'memory', files: { keys: jwks(key) },
            args: ['--auth', 'jwt', '--jwt-keys', 'keys', '--jwt-audience', 'here', '--auth-timeout', `${500 * t.scale}ms`],
        });
        const good = { sub: 'u', aud: 'here' };
        const cases = [
            [/another audience/, makeToken(key, { sub: 'u', aud: 'there' })],
            [/the signature of the token is not good/, makeToken(makeKey('HS256', 'k'), good)],
            [/a token is needed/, null],
            [/another user than userId says/, makeToken(key, { ...good, sub: 'v' })],
            [/the token has expired/, makeToken(key, { ...good, exp: 1000 })],
        ];
        for (const [check, token] of cases) {
            const headers = { Origin: 'http://127.0.0.1', ...(token ? { Authorization: `Bearer ${token}` } : {}) };
            const reasons = [];
            for (let i = 0; i < 2; i++) {
                const raw = await t.raw(herald.port);
                raw.send(handshake('/ws?userId=u', { headers }));
                assert.equal((await raw.answer()).status, 101);
                reasons.push((await raw.frameButPings()).payload.subarray(2).toString());
                raw.destroy();
            }
            assert.match(reasons[0], check);
            assert.equal(reasons[1], reasons[0]);
            await waitUntil('the line', () => herald.log.includes(`why="${reasons[0]}" place=/ws address=127.0.0.1 user=u`));
        }
        const client = await herald.subscribeV1('u');
        client.send({ type: 'auth', token: cases[1][1] });
        assert.match((await client.waitClosed()).reason, cases[1][0]);
        const silent = await herald.subscribeV1('silent');
        assert.equal((await silent.waitClosed()).code, 4102);
        await waitUntil('the line', () => herald.log.includes('why="no credentials in time" place="the auth message" address=127.0.0.1 user=silent'));
    });

    test('a token that is offered alone is told what to be offered beside', async (t) => {
        const herald = await t.sharedHerald('plain', { store: 'memory' });
        const offer = { 'Sec-WebSocket-Protocol': `bearer.${secret('abc.def.ghi')}` };
        const answer = await exchange(herald.port, handshake('/ws?userId=1', { headers: offer }));
        assertProblem(answer, 400, { type: 'bad-handshake' });
        assert.match(answer.json.detail, /herald\.v1 or herald\.plain beside bearer\.TOKEN/);
    });
};
