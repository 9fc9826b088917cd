'use strict';
/* CONTRACT 3 for operators: kick, look, count; and what the admin port refuses (CONTRACT 1 and 4). */

const assert = require('node:assert/strict');
const { assertProblem, exchange, range, sleep, waitUntil, within } = require('./harness');

const memory = (t) => t.sharedHerald('operators', { store: 'memory' });
const head = (lines) => `${lines.join('\r\n')}\r\n\r\n`;

const PUSH_BODY = '{"userId":"smuggled","data":1}';
const CHUNKED_BODY = `${PUSH_BODY.length.toString(16)}\r\n${PUSH_BODY}\r\n0\r\n\r\n`;
const json = 'Content-Type: application/json';
const SMUGGLING = [
    ['Transfer-Encoding beside Content-Length', ['Transfer-Encoding: chunked', 'Content-Length: 4'], CHUNKED_BODY],
    ['Content-Length before Transfer-Encoding', [`Content-Length: ${PUSH_BODY.length}`, 'Transfer-Encoding: chunked'],
        CHUNKED_BODY],
    ['two Content-Lengths', [`Content-Length: ${PUSH_BODY.length}`, 'Content-Length: 4'], PUSH_BODY],
    ['two Content-Lengths that agree', [`Content-Length: ${PUSH_BODY.length}`, `Content-Length: ${PUSH_BODY.length}`],
        PUSH_BODY],
    ['a list of Content-Lengths', [`Content-Length: ${PUSH_BODY.length}, ${PUSH_BODY.length}`], PUSH_BODY],
    ['a signed Content-Length', [`Content-Length: +${PUSH_BODY.length}`], PUSH_BODY],
    ['a hexadecimal Content-Length', ['Content-Length: 0x1e'], PUSH_BODY],
    ['an unknown Transfer-Encoding', ['Transfer-Encoding: xchunked'], CHUNKED_BODY],
    ['two Transfer-Encodings', ['Transfer-Encoding: chunked', 'Transfer-Encoding: identity'], CHUNKED_BODY],
];

/* The two parts of a push on a connection that stays open. */
function pushParts(userId) {
    const body = JSON.stringify({ userId, data: 1 });
    return [head(['POST /push HTTP/1.1', 'Host: 127.0.0.1', json, `Content-Length: ${body.length}`]), body];
}

/* At a stop Herald closes connections that are silent for 250 ms. */
const SILENT_MS = 200;

/* Pushes to a user of its own on one connection, with a pause between two pushes, until an answer
 * says that the connection ends. Every push must be answered; those with 202 are counted. A push that
 * this process was late with, on a connection that had been silent for too long, was not taken. */
async function publishUntilTold(t, herald, lane, state) {
    const raw = await t.raw(herald.adminPort);
    let sentAt = Date.now();
    for (;;) {
        await sleep((lane * 7) % 30);
        const isLate = state.isEnding && Date.now() - sentAt > SILENT_MS;
        sentAt = Date.now();
        let answer;
        try {
            answer = await raw.send(pushParts(`lane/${lane}`).join('')).answer();
        } catch (error) {
            if (isLate) {
                return;
            }
            throw error;
        }
        assert.ok([202, 503].includes(answer.status), answer.text);
        state.accepted[lane] += answer.status === 202;
        if (answer.headers.connection === 'close') {
            assert.ok(state.isEnding, 'closed before the stop');
            return;
        }
        assert.equal(answer.status, 202, 'a refusal at the stop says that the connection ends');
    }
}

module.exports = (test) => {
    test('the log tells at debug which connection of which user began, and why it ended', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--log-level', 'debug', '--ping-interval', '100ms', '--silence-timeout', `${300 * t.scale}ms`] });
        const line = (event, user, rest) => new RegExp(`level=debug event="${event}" connection=c-[0-9a-f]+ user=${user}${rest}$`, 'm');
        const kicked = await herald.subscribe('kicked');
        await herald.post('/deleteClient', { userId: 'kicked' });
        await kicked.waitClosed();
        const leaves = await herald.subscribe('leaves');
        await leaves.close();
        const drops = await herald.subscribe('drops');
        drops.socket.terminate();
        await herald.subscribe('silent', { autoPong: false });
        for (const [user, cause] of [['kicked', 'kicked'], ['leaves', '"closed by the client"'], ['drops', 'dropped'], ['silent', 'silent']]) {
            await waitUntil(`${user} has ended`, () => line('session ended', user, ` cause=${cause}`).test(herald.log));
            await herald.waitLog(line('session began', user, ''));
        }
        await herald.waitLog(/level=info event="user kicked" user=kicked closed=1 purged=0/);
        const refused = await exchange(herald.port, 'GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n');
        await herald.waitLog(new RegExp(`event="request refused" request=${JSON.parse(refused.text).requestId} status=404`));
    });

    for (const [form, kick] of [
        ['POST /deleteClient', (herald, userId) => herald.post('/deleteClient', { userId })],
        ['DELETE /users/ID/connections',
            (herald, userId) => herald.request('DELETE', `/users/${encodeURIComponent(userId)}/connections`)],
    ]) {
        test(`${form} closes every session of the user with 4503, and nobody else's`, async (t) => {
            const herald = await memory(t);
            const userId = `kick/${form}`;
            const clients = [await herald.subscribe(userId), await herald.subscribe(userId)];
            const other = await herald.subscribe('bystander');
            const answer = await kick(herald, userId);
            assert.equal(answer.status, 200, answer.text);
            assert.deepEqual([answer.json.userId, answer.json.closed], [userId, 2]);
            for (const client of clients) {
                assert.equal((await client.waitClosed()).code, 4503);
            }
            assert.equal((await herald.user(userId)).online, false);
            assert.equal(other.socket.readyState, 1);
            assertProblem(await kick(herald, userId), 404, { type: 'not-connected' });
        });
    }

    test('a kick leaves the inbox, and does not block a reconnect', async (t) => {
        const herald = await t.herald();
        const deaf = await herald.subscribe('u', { autoPong: false });
        await herald.mustPush('u', 'kept');
        await deaf.waitCount(1);
        const { json: kicked } = await herald.post('/deleteClient', { userId: 'u', reason: 'cleanup', purge: false, blockFor: 0 });
        assert.deepEqual([kicked.closed, kicked.purged, kicked.blockedUntil], [1, 0, null]);
        assert.deepEqual(kicked.nodes, { asked: 1, answered: 1 });
        const { code, reason } = await deaf.waitClosed();
        assert.equal(code, 4503);
        assert.match(reason, /cleanup/);
        const back = await herald.subscribe('u');
        await back.waitCount(1);
    });

    test('after a kick was answered the user is offline for a push', async (t) => {
        const herald = await memory(t);
        for (const n of range(20)) {
            const client = await herald.subscribe('kicked');
            assert.equal((await herald.post('/deleteClient', { userId: 'kicked' })).status, 200);
            const pushed = await herald.mustPush('kicked', n, { ttl: 0 });
            assert.deepEqual([pushed.status, pushed.online], ['dropped', 0]);
            await client.waitClosed();
        }
    });

    test('bad input to /deleteClient is a problem', async (t) => {
        const herald = await memory(t);
        const cases = [
            ['{}', { type: 'invalid-field', field: 'userId' }],
            ['{"userId":""}', { type: 'invalid-field', field: 'userId' }],
            ['{"userId":"u","reason":1}', { type: 'invalid-field', field: 'reason' }],
            ['{"userId":"u","nope":1}', { type: 'unknown-field', field: 'nope' }],
            ['{"userId":"u","userId":"u"}', { type: 'bad-json' }],
            ['{', { type: 'bad-json', offset: 1 }],
        ];
        for (const [body, members] of cases) {
            assertProblem(await herald.post('/deleteClient', body), 400, members);
        }
    });

    test('GET /users/ID says all that is known', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--ping-interval', '200ms'] });
        const unknown = await herald.user('never heard of');
        assert.deepEqual([unknown.userId, unknown.online, unknown.pending, unknown.head, unknown.acked],
            ['never heard of', false, 0, 0, 0]);
        assert.deepEqual(unknown.connections, []);
        assert.deepEqual(unknown.nodes, { asked: 1, answered: 1 });

        await herald.mustPush('u', 1);
        await waitUntil('it gets older', async () => (await herald.user('u')).oldestPendingSeconds >= 1);
        const begin = Date.now();
        const client = await herald.subscribe('u', { headers: { 'User-Agent': 'Tester/1.0 "ü"' } });
        await client.waitCount(1);
        await herald.waitPending('u', 0);
        const user = await waitUntil('a round trip is measured', async () => {
            const answer = await herald.user('u');
            return answer.connections[0].roundTripMs !== null && answer;
        });
        assert.match(user.epoch, /^[a-z0-9]{8}$/);
        assert.deepEqual([user.online, user.head, user.acked], [true, 1, 1]);
        const [connection] = user.connections;
        assert.match(connection.connection, /^c-/);
        assert.equal(connection.address, '127.0.0.1');
        assert.match(connection.userAgent, /^Tester\/1\.0/);
        assert.equal(connection.level, 'plain');
        assert.ok(Math.abs(connection.since - begin) < 20000, `since ${connection.since}`);
        assert.ok(connection.roundTripMs >= 0 && connection.roundTripMs < 20000);
        assert.equal(connection.acked, 1);
        assert.equal(connection.queuedBytes, 0);
    });

    test('an encoded slash stays inside its segment', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribe('a/connections');
        assert.equal((await herald.user('a/connections')).online, true);
        assert.equal((await herald.request('DELETE', '/users/a%2Fconnections/connections')).json.closed, 1);
        assert.equal((await client.waitClosed()).code, 4503);
        assertProblem(await herald.request('GET', '/users/a/b'), 404, { type: 'not-found' });
        assert.equal((await herald.request('GET', '/users/a+b')).json.userId, 'a+b');
    });

    test('a bad userId in the path is 400', async (t) => {
        const herald = await memory(t);
        for (const target of ['/users/', '/users/%zz', '/users/%ff', '/users/%00', `/users/${'x'.repeat(129)}`]) {
            assertProblem(await herald.request('GET', target), 400, { type: 'invalid-field', field: 'userId' });
        }
    });

    test('/clients pages through everybody once', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const wanted = {};
        for (const n of range(23)) {
            const userId = `page/${n}`;
            wanted[userId] = 1 + (n % 3 === 0);
            for (const _ of range(wanted[userId])) {
                await herald.subscribe(userId);
            }
        }
        const seen = {};
        let after = '';
        for (const page of range(30)) {
            const { json } = await herald.request('GET', `/clients?limit=5&after=${encodeURIComponent(after)}`);
            assert.ok(json.clients.length <= 5, `page ${page} has ${json.clients.length}`);
            json.clients.forEach(({ userId, connections }) => {
                assert.ok(!(userId in seen), `${userId} twice`);
                seen[userId] = connections;
            });
            after = json.next ?? '';
            if (!after) {
                break;
            }
        }
        assert.deepEqual(seen, wanted);
        const whole = await herald.request('GET', '/clients');
        assert.equal(whole.json.clients.length, 23);
    });

    test('/online tells who of many is here', async (t) => {
        const herald = await t.sharedHerald('online', { store: 'memory' });
        await herald.subscribe('here 1');
        await herald.subscribe('here 2');
        await herald.mustPush('waiting', 1);
        const ask = async (userIds) => herald.post('/online', { userIds });
        const answer = await ask(['here 2', 'waiting', 'never', 'here 1']);
        assert.equal(answer.status, 200, answer.text);
        assert.deepEqual(answer.json, { online: ['here 2', 'here 1'] });
        assert.deepEqual((await ask(['never'])).json, { online: [] });
        assertProblem(await ask([]), 400, { type: 'invalid-field', field: 'userIds' });
    });

    test('a bad limit or cursor of /clients is 400', async (t) => {
        const herald = await memory(t);
        for (const query of ['limit=0', 'limit=1001', 'limit=x', 'limit=-1', 'after=!!!']) {
            assertProblem(await herald.request('GET', `/clients?${query}`), 400, { type: 'invalid-field' });
        }
    });

    test('/stats counts connections and users', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        await herald.subscribe('a');
        await herald.subscribe('a');
        const leaving = await herald.subscribe('b');
        const { status, json } = await herald.request('GET', '/stats');
        assert.equal(status, 200);
        assert.deepEqual([json.connections, json.users], [3, 2]);
        await leaving.close();
        await waitUntil('one less', async () => (await herald.request('GET', '/stats')).json.connections === 2);
    });

    test('/metrics is Prometheus text with herald_ names and no user in it', async (t) => {
        const herald = await memory(t);
        await herald.subscribe('secret-user-name');
        await herald.mustPush('secret-user-name', 1);
        const { status, headers, text } = await herald.request('GET', '/metrics');
        assert.equal(status, 200);
        assert.match(headers['content-type'], /^text\/plain/);
        const samples = text.split('\n').filter((line) => line && !line.startsWith('#'));
        assert.ok(samples.length > 10, `${samples.length} samples`);
        for (const line of samples) {
            assert.match(line, /^herald_[a-z0-9_]+(\{[^}]*\})? [-+0-9.eE]+(Inf|NaN)?$/, line);
        }
        assert.match(text, /^# TYPE herald_/m);
        assert.doesNotMatch(text, /secret-user-name/);
    });

    test('/livez and /readyz answer 200', async (t) => {
        const herald = await memory(t);
        assert.equal((await herald.request('GET', '/livez')).status, 200);
        assert.equal((await herald.request('GET', '/readyz')).status, 200);
    });

    test('wrong methods are 405 with Allow, unknown paths 404', async (t) => {
        const herald = await memory(t);
        for (const [method, target, allow] of [
            ['POST', '/metrics', 'GET'], ['DELETE', '/clients', 'GET'], ['POST', '/users/1', 'GET'],
            ['GET', '/deleteClient', 'POST'], ['GET', '/users/1/connections', 'DELETE'],
            ['POST', '/livez', 'GET'], ['PUT', '/stats', 'GET'],
        ]) {
            const answer = await herald.request(method, target, { headers: { 'Content-Type': 'application/json' } });
            assertProblem(answer, 405, { type: 'method-not-allowed' });
            assert.match(answer.headers.allow, new RegExp(`\\b${allow}\\b`), `${method} ${target}`);
        }
        for (const target of ['/nowhere', '/users', '/users/1/nothing', '/ws?userId=1', '/livez/x']) {
            assertProblem(await herald.request('GET', target), 404, { type: 'not-found' });
        }
    });

    test('a POST that a page could send is 415', async (t) => {
        const herald = await memory(t);
        const answer = await herald.post('/deleteClient', '{"userId":"u"}', { 'Content-Type': 'text/plain' });
        assertProblem(answer, 415, { type: 'unsupported-media-type' });
    });

    test('a body over --max-body is 413', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--max-body', '2KiB'] });
        const answer = await herald.post('/push', { userId: 'u', data: 'x'.repeat(3000) });
        assertProblem(answer, 413, { type: 'too-large' });
        await herald.mustPush('u', 'x'.repeat(1000));
    });

    test('a Host that is not loopback, a forwarded request and a foreign Origin are 403', async (t) => {
        const herald = await memory(t);
        const cases = [
            { Host: 'evil.example' }, { Host: `evil.example:${herald.adminPort}` }, { Host: '10.0.0.1' },
            { Origin: 'https://evil.example' }, { Origin: 'null' }, { Origin: `http://127.0.0.1:${herald.port}` },
            { 'X-Forwarded-For': '10.0.0.1' }, { 'X-Forwarded-Host': 'example.com' }, { Forwarded: 'for=10.0.0.1' },
        ];
        for (const headers of cases) {
            const push = await herald.post('/push', { userId: 'driven', data: 1 }, headers);
            assert.equal(push.status, 403, JSON.stringify(headers));
            assertProblem(push, 403, { type: 'forbidden' });
            assert.equal((await herald.request('GET', '/users/driven', { headers })).status, 403, JSON.stringify(headers));
        }
        assert.equal((await herald.user('driven')).head, 0);
    });

    test('loopback by each of its names is let in', async (t) => {
        const herald = await memory(t);
        for (const host of ['localhost', `localhost:${herald.adminPort}`, '127.0.0.1', '[::1]:8081', 'LOCALHOST']) {
            const answer = await herald.request('GET', '/stats', { headers: { Host: host } });
            assert.equal(answer.status, 200, host);
        }
    });

    for (const [name, lines, body] of SMUGGLING) {
        test(`${name}: refused, and the connection is not used again`, async (t) => {
            const herald = await memory(t);
            const raw = await t.raw(herald.adminPort);
            raw.send(head(['POST /push HTTP/1.1', `Host: 127.0.0.1:${herald.adminPort}`, json, ...lines]) + body);
            const answer = await raw.answer();
            assert.ok(answer.status >= 400 && answer.status < 502, `${answer.status} ${answer.text}`);
            await raw.waitEnd();
            assert.equal((await herald.user('smuggled')).head, 0);
        });
    }

    test('two Hosts, or none, are refused', async (t) => {
        const herald = await memory(t);
        for (const hosts of [[], ['Host: 127.0.0.1', 'Host: evil.example'], ['Host: 127.0.0.1', 'Host: 127.0.0.1']]) {
            const answer = await exchange(herald.adminPort, head(['GET /stats HTTP/1.1', ...hosts]));
            assert.ok([400, 403].includes(answer.status), `${hosts}: ${answer.status}`);
        }
    });

    test('HEAD is answered like GET, or refused with 405, but never with a body', async (t) => {
        const herald = await memory(t);
        const { status, text } = await herald.request('HEAD', '/livez');
        assert.ok([200, 405].includes(status));
        assert.equal(text, '');
    });

    /* CONTRACT 5.10 */
    test('every request is answered once, at shutdown too', async (t) => {
        const herald = await t.herald({ args: ['--drain-time', '200ms'] });
        const answers = { 202: 0, 503: 0, refused: 0 };
        let isEnding = false;
        const publishers = range(16).map(async () => {
            for (;;) {
                try {
                    const { status } = await herald.push('u', 1, { ttl: 60 });
                    assert.ok(status === 202 || status === 503, `${status}`);
                    answers[status] += 1;
                } catch (error) {
                    assert.ok(isEnding, `broken before the end: ${error.message}`);
                    assert.match(String(error.code), /ECONNREFUSED|ECONNRESET|EPIPE/, error.message);
                    answers.refused += 1;
                    return;
                }
            }
        });
        await waitUntil('some are accepted', () => answers[202] > 200);
        isEnding = true;
        herald.child.signal('SIGTERM');
        await Promise.all(publishers);
        assert.deepEqual(await herald.child.exited, { code: 0, signal: null });
        await herald.restart();
        const { head: kept } = await herald.user('u');
        assert.ok(kept >= answers[202], `${kept} kept of ${answers[202]} accepted`);
    });

    for (const round of range(3)) {
        test(`a stop answers every push of an open connection, and keeps those with 202 alone (${round})`, async (t) => {
            const herald = await t.herald({ store: 'file' });
            const state = { accepted: range(24).map(() => 0), isEnding: false };
            const lanes = range(24).map((lane) => publishUntilTold(t, herald, lane, state));
            await waitUntil('all are at work', () => state.accepted.every((count) => count > 2));
            await sleep(round * 5);
            state.isEnding = true;
            herald.child.signal('SIGTERM');
            await Promise.all(lanes);
            assert.deepEqual(await herald.child.exited, { code: 0, signal: null });
            await herald.restart();
            const kept = [];
            for (const lane of range(24)) {
                kept.push((await herald.user(`lane/${lane}`)).head);
            }
            assert.deepEqual(kept, state.accepted);
        });
    }

    test('a request that becomes complete during the stop is refused, not dropped', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const late = await Promise.all(range(4).map(() => t.raw(herald.adminPort)));
        late.forEach((raw, n) => raw.send(pushParts(`late/${n}`)[0]));
        await sleep(100);
        herald.child.signal('SIGTERM');
        await waitUntil('it stops', async () => {
            const raw = await t.raw(herald.adminPort).catch(() => null);
            raw?.destroy();
            return raw === null;
        });
        for (const [n, raw] of late.entries()) {
            await sleep(50);
            const answer = await raw.send(pushParts(`late/${n}`)[1]).answer();
            assertProblem(answer, 503, { type: 'draining' });
            assert.equal(answer.headers.connection, 'close');
            await raw.waitEnd();
        }
        assert.deepEqual(await herald.child.exited, { code: 0, signal: null });
        await herald.restart();
        for (const n of range(4)) {
            assert.equal((await herald.user(`late/${n}`)).head, 0);
        }
    });

    test('silent connections do not hold up the stop', { tries: 3 }, async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const silent = await Promise.all(range(8).map(() => t.raw(herald.adminPort)));
        const unfinished = await t.raw(herald.adminPort);
        unfinished.send(pushParts('u')[0]);
        await sleep(100);
        herald.child.signal('SIGTERM');
        assert.deepEqual(await within(herald.child.exited, 4000, 'the end'), { code: 0, signal: null });
        await Promise.all([...silent, unfinished].map((raw) => raw.waitEnd()));
    });
};
