'use strict';
/* EVENTS, Client messages: what clients say to the backends, over herald.v1, plain connections and POST /message, and the
 * pushes with which a backend answers one connection. */

const assert = require('node:assert/strict');
const { Consumer, assertProblem, everyStore, handshake, range, rawWebSocket, sleep, waitUntil } = require('./harness');

const KEPT = ['--events', 'client.message'];
const V1_ARGS = [...KEPT, '--client-messages', 'v1'];
const ALL_ARGS = [...KEPT, '--client-messages', 'all', '--client-messages-per-second', '1000'];
const FAST_ARGS = [...V1_ARGS, '--client-messages-per-second', '10000'];

const shared = (t, store, args) => t.sharedHerald(`${store} ${args.join(' ')}`, { store, args });

/* Texts that a program which parses and prints JSON would change. */
const EXACT = ['9007199254740993', '-0', '1E+2', '"\\u0041\\/ 😀"', '{"b":1,"a":2,"b":3}', '[ 1 ,\t2 ]', '{ }', 'null', '""'];

/* As a page does: on the port of the subscribers. */
function say(herald, userId, id, body, headers = {}) {
    const query = [userId === undefined ? [] : [`userId=${encodeURIComponent(userId)}`], id === undefined ? [] : [`id=${id}`]];
    return herald.post(`/message?${query.flat().join('&')}`, body, headers, { port: herald.port });
}

/* The events of a user, also as they are written: {events, texts}. */
async function readAll(herald, name, userId, count) {
    const texts = [];
    const consumer = new Consumer(herald, name);
    const events = [];
    await waitUntil(`${count} messages of ${userId}`, async () => {
        const answer = await consumer.ask({ ack: consumer.cursor, wait: 1, limit: 1000 });
        assert.equal(answer.status, 200, answer.text);
        events.push(...consumer.keep(answer).filter((event) => event.userId === userId));
        texts.push(answer.text);
        return events.length >= count;
    });
    return { events, text: texts.join('\n') };
}

const isProblem = (answer, status, type, field) => assertProblem(answer, status, field === undefined ? { type } : { type, field });
const isAccepted = (frame, id) => assert.deepEqual(frame, { type: 'accepted', id });

module.exports = (test) => {
    everyStore(test, 'a message of a herald.v1 client is accepted, and backends read it byte for byte', async (t, store) => {
        const herald = await shared(t, store, FAST_ARGS);
        const client = await herald.subscribeV1('exact', { query: '&device=tablet' });
        await client.wait('hello');
        for (const [n, data] of EXACT.entries()) {
            client.send(`{"data": ${data} ,"id":"e-${n}","type":"message"}`);
        }
        await client.wait('accepted', EXACT.length);
        assert.deepEqual(client.accepteds.map(({ id }) => id), EXACT.map((_, n) => `e-${n}`));
        const { events, text } = await readAll(herald, 'exact', 'exact', EXACT.length);
        for (const [n, data] of EXACT.entries()) {
            assert.ok(text.includes(`"clientId":"e-${n}","data":${data}}`), data);
            const { id, time, ...event } = events[n];
            assert.match(id, /^[0-9]+\.[a-z0-9]{8}-[0-9]+$/);
            assert.ok(Math.abs(time - Date.now()) < 60000, `${time}`);
            assert.deepEqual({ ...event, data: undefined }, {
                type: 'client.message', userId: 'exact', connection: client.hello.connection, level: 'herald.v1',
                device: 'tablet', clientId: `e-${n}`, data: undefined,
            });
        }
        assert.deepEqual(client.errors, []);
    });

    everyStore(test, 'messages are accepted in the order in which they were sent', async (t, store) => {
        const herald = await shared(t, store, FAST_ARGS);
        const client = await herald.subscribeV1('order');
        const ids = range(1000).map((n) => `m-${n}`);
        ids.forEach((id, n) => client.send({ type: 'message', id, data: n }));
        await client.wait('accepted', ids.length);
        assert.deepEqual(client.accepteds.map(({ id }) => id), ids);
        const { events } = await readAll(herald, 'order', 'order', ids.length);
        assert.deepEqual(events.map(({ clientId }) => clientId), ids);
        assert.deepEqual(events.map(({ data }) => data), range(1000));
    });

    test('a message that cannot be is answered with an error that names the field', async (t) => {
        const herald = await shared(t, 'memory', FAST_ARGS);
        const client = await herald.subscribeV1('faulty');
        const bad = [
            [{ data: 1 }, 'bad-message', undefined, 'id'], [{ id: 7, data: 1 }, 'bad-message', undefined, 'id'],
            [{ id: '', data: 1 }, 'bad-message', undefined, 'id'], [{ id: 'x'.repeat(65), data: 1 }, 'bad-message', undefined, 'id'],
            [{ id: 'ü'.repeat(33), data: 1 }, 'bad-message', undefined, 'id'], [{ id: 'b-1' }, 'bad-message', 'b-1', 'data'],
        ];
        for (const [n, [members, code, id, field]] of bad.entries()) {
            client.send({ type: 'message', ...members });
            const error = (await client.wait('error', n + 1))[n];
            assert.deepEqual([error.code, error.id, error.field, typeof error.detail], [code, id, field, 'string']);
        }
        client.send('{"type":"message","id":"b-2","data":{"a":}}');
        assert.equal((await client.wait('error', bad.length + 1)).at(-1).code, 'bad-json');
        for (const id of ['x'.repeat(64), 'ü "\\', '\u0000', '😀'.repeat(16)]) {
            isAccepted(await client.say(id, 1), id);
        }
    });

    test('data of more than 64 KiB is too large, also where frames may be longer', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...FAST_ARGS, '--max-message', '1MiB'] });
        const client = await herald.subscribeV1('large');
        isAccepted(await client.say('l-1', 'x'.repeat(65534)), 'l-1');
        const error = await client.say('l-2', 'x'.repeat(65535));
        assert.deepEqual([error.code, error.id, error.field], ['too-large', 'l-2', 'data']);
        isAccepted(await client.say('l-3', 1), 'l-3');
        assert.equal(await herald.metric('herald_client_messages_unkept_total{cause="too-large"}'), 1);
    });

    test('a message in pieces is one message', async (t) => {
        const herald = await shared(t, 'memory', ALL_ARGS);
        const v1 = await herald.raw();
        v1.send(handshake('/ws?userId=pieces', { headers: { 'Sec-WebSocket-Protocol': 'herald.v1' } }));
        assert.equal((await v1.answer()).status, 101);
        const plain = await rawWebSocket(herald, 'pieces');
        for (const [socket, text] of [[v1, '{"type":"message","id":"p-1","data":[1,2,3]}'], [plain, '{"plain":"piece"}']]) {
            for (const [n, char] of [...text].entries()) {
                socket.sendFrame({ opcode: n === 0 ? 1 : 0, fin: n === text.length - 1, payload: char });
            }
        }
        const { events } = await readAll(herald, 'pieces', 'pieces', 2);
        assert.deepEqual(new Set(events.map(({ data }) => JSON.stringify(data))), new Set(['[1,2,3]', '{"plain":"piece"}']));
        v1.destroy();
        plain.destroy();
    });

    test('more than the rate is refused, a burst of five seconds is not', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...KEPT, '--client-messages', 'all', '--client-messages-per-second', '1'] });
        const client = await herald.subscribeV1('hasty');
        for (const n of range(5)) {
            isAccepted(await client.say(`r-${n}`, n), `r-${n}`);
        }
        const error = await client.say('r-5', 5);
        assert.deepEqual([error.code, error.id], ['rate', 'r-5']);
        const other = await herald.subscribeV1('hasty');
        assert.equal((await other.say('r-6', 6)).code, 'rate', 'the rate is of the user');
        const answer = await say(herald, 'hasty', 'r-7', '7');
        isProblem(answer, 429, 'rate-limited');
        assert.match(answer.headers['retry-after'], /^[0-9]+$/);
        const plain = await herald.subscribe('hasty');
        plain.socket.send('8');
        const { code, reason } = await plain.waitClosed();
        assert.equal(code, 4005);
        assert.match(reason, /^rate retry_ms=[0-9]+$/);
        isAccepted(await (await herald.subscribeV1('patient')).say('r-9', 9), 'r-9');
        await waitUntil('it may go on', async () => (await client.say('r-5', 5)).type === 'accepted');
        assert.ok(await herald.metric('herald_limited_total{limit="client-messages-per-second"}') >= 4);
    });

    test('a plain client says JSON, and whatever else closes it', async (t) => {
        const herald = await shared(t, 'memory', ALL_ARGS);
        const client = await herald.subscribe('plain');
        EXACT.forEach((text) => client.socket.send(` ${text}\n`));
        const { events, text } = await readAll(herald, 'plain', 'plain', EXACT.length);
        EXACT.forEach((data) => assert.ok(text.includes(`"clientId":null,"data":${data}}`), data));
        assert.deepEqual([...new Set(events.map(({ level, device, clientId }) => `${level} ${device} ${clientId}`))], ['plain null null']);
        await herald.mustPush('plain', 'still here');
        await client.waitCount(1);
        for (const bad of ['hello', '', '{"a":1', '1 2', '{"a":01}', "{'a':1}"]) {
            const one = await herald.subscribe('plain');
            one.socket.send(bad);
            assert.deepEqual(await one.waitClosed(), { code: 1007, reason: 'a text message is not JSON' }, bad);
        }
        const binary = await herald.subscribe('plain');
        binary.socket.send(Buffer.from('1'));
        assert.equal((await binary.waitClosed()).code, 1003);
    });

    test('with v1 the texts of plain clients are counted and dropped, and with off everything is', async (t) => {
        const herald = await shared(t, 'memory', V1_ARGS);
        const off = await t.herald({ store: 'memory' });
        for (const each of [herald, off]) {
            const plain = await each.subscribe('unheard');
            plain.socket.send('{"a":1}');
            plain.socket.send('no JSON');
            await waitUntil('both are dropped', async () => await each.metric('herald_client_messages_dropped_total') === 2);
            await each.mustPush('unheard', 1);
            await plain.waitCount(1);
        }
        const client = await off.subscribeV1('unheard too');
        const error = await client.say('n-1', 1);
        assert.deepEqual([error.code, error.id], ['not-taken', 'n-1']);
        isProblem(await say(off, 'unheard', 'n-2', '1'), 404, 'not-found');
        assert.equal(await off.metric('herald_client_messages_not_taken_total'), 1);
    });

    everyStore(test, 'POST /message is accepted when it is kept', async (t, store) => {
        const herald = await shared(t, store, FAST_ARGS);
        for (const [n, data] of EXACT.entries()) {
            const answer = await say(herald, 'page', `h%20${n}`, data);
            assert.equal(answer.status, 202, answer.text);
            assert.deepEqual(answer.json, { id: `h ${n}` });
            assert.match(answer.headers['content-type'], /^application\/json/);
        }
        const { events, text } = await readAll(herald, 'page', 'page', EXACT.length);
        for (const [n, data] of EXACT.entries()) {
            assert.ok(text.includes(`"clientId":"h ${n}","data":${data}}`), data);
            assert.deepEqual([events[n].level, 'connection' in events[n]], ['http', false]);
        }
    });

    everyStore(test, 'a user who is blocked says nothing', async (t, store) => {
        const herald = await t.herald({ store, args: ALL_ARGS });
        const kick = await herald.post('/deleteClient', { userId: 'kicked', blockFor: 60 });
        assert.equal(kick.status, 200);
        const answer = await say(herald, 'kicked', 'k-1', '1');
        isProblem(answer, 403, 'forbidden');
        assert.equal(answer.json.detail, 'the user is blocked');
        assert.equal(await herald.metric('herald_client_messages_unkept_total{cause="blocked"}'), 1);
        assert.equal((await say(herald, 'free', 'f-1', '1')).status, 202);
        const events = await new Consumer(herald, 'reader').peek();
        assert.deepEqual(events.map((event) => event.userId), ['free']);
    });

    test('POST /message is refused by the name of what is wrong', async (t) => {
        const herald = await t.herald({ store: 'memory', args: [...FAST_ARGS, '--allowed-origin', 'https://app.example'] });
        for (const [userId, id, field] of [['p', undefined, 'id'], ['p', '', 'id'], ['p', 'x'.repeat(65), 'id'], ['p', '%ff', 'id'],
            ['p', '1&id=2', 'id'], [undefined, '1', 'userId']]) {
            isProblem(await say(herald, userId, id, '1'), 400, 'invalid-field', field);
        }
        isProblem(await say(herald, 'p', '1', '1', { 'Content-Type': 'text/plain' }), 415, 'unsupported-media-type');
        for (const body of ['', 'hello', '{"a":', '1 2']) {
            isProblem(await say(herald, 'p', '1', body), 400, 'bad-json');
        }
        assert.equal((await say(herald, 'p', '1', ` ${JSON.stringify('x'.repeat(65533))}`)).status, 202);
        isProblem(await say(herald, 'p', '1', JSON.stringify('x'.repeat(65535))), 413, 'too-large');
        isProblem(await say(herald, 'p', '1', '1', { Origin: 'https://evil.example' }), 403, 'forbidden');
        const allowed = await say(herald, 'p', '1', '1', { Origin: 'https://app.example' });
        assert.deepEqual([allowed.status, allowed.headers['access-control-allow-origin']], [202, 'https://app.example']);
        const preflight = await herald.request('OPTIONS', '/message?userId=p&id=1', {
            port: herald.port, headers: { Origin: 'https://app.example', 'Access-Control-Request-Method': 'POST' },
        });
        assert.deepEqual([preflight.status, preflight.headers['access-control-allow-methods']], [204, 'POST, OPTIONS']);
        assert.match(preflight.headers['access-control-allow-headers'], /Content-Type/);
        const get = await herald.request('GET', '/message?userId=p&id=1', { port: herald.port });
        isProblem(get, 405, 'method-not-allowed');
        assert.equal(get.headers.allow, 'POST, OPTIONS');
    });

    test('client messages without client.message among the events are refused at start', async (t) => {
        for (const mode of ['v1', 'all']) {
            for (const kept of [[], ['--events', 'user.online']]) {
                for (const flag of [[], ['--check-config']]) {
                    const result = await t.runToEnd(['--store', 'memory:', '--client-messages', mode, ...kept, ...flag]);
                    assert.equal(result.code, 2);
                    assert.match(result.stderr, new RegExp(`--client-messages ${mode} needs --events client.message`));
                }
            }
        }
    });

    test('that nobody reads what clients say is told at start', async (t) => {
        const args = [...V1_ARGS, '--webhooks', 'none.ini'];
        const herald = await t.herald({ store: 'file', args, files: { 'none.ini': '' } });
        await herald.waitLog(/messages of clients are kept, and nobody reads them/);
        await new Consumer(herald, 'reader').peek();
        await herald.stop();
        const from = herald.log.length;
        await herald.restart();
        const client = await herald.subscribeV1('heard');
        isAccepted(await client.say('1', 1), '1');
        await sleep(2500);
        assert.doesNotMatch(herald.log.slice(from), /nobody reads them/);
    });

    test('a client whose 64 messages have no answer is not read, and lives on', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald({ store: redis.url, args: [...FAST_ARGS, '--ping-interval', '200ms', '--silence-timeout', '1s'] });
        const client = await herald.subscribeV1('waiting');
        const other = await herald.subscribeV1('beside');
        await client.wait('hello');
        await other.wait('hello');
        redis.pause();
        range(200).forEach((n) => client.send({ type: 'message', id: `w-${n}`, data: n }));
        await waitUntil('it rests', async () => await herald.metric('herald_limited_total{limit="client-messages-unanswered"}') >= 1);
        await other.roundTrip();
        await sleep(3000);
        assert.equal(client.socket.readyState, 1);
        redis.resume();
        const talker = new Set();
        await waitUntil('each has an answer', () => {
            client.frames.filter(({ type }) => ['accepted', 'error'].includes(type)).forEach(({ id }) => talker.add(id));
            return talker.size === 200;
        });
        const accepted = client.accepteds.map(({ id }) => Number(id.slice(2)));
        assert.deepEqual(accepted, [...accepted].sort((a, b) => a - b));
    });

    /* ---- pushes to one connection ---- */

    everyStore(test, 'a push to one connection reaches it and no other', async (t, store) => {
        const herald = await shared(t, store, FAST_ARGS);
        const first = await herald.subscribeV1('tabs');
        const second = await herald.subscribeV1('tabs');
        const [{ connection }] = await second.wait('hello');
        await first.wait('hello');
        const sent = await herald.mustPush('tabs', 'for one', { ttl: 0, connection });
        assert.deepEqual([sent.status, sent.online, sent.nodes], ['sent', 1, 1]);
        await herald.mustPush('tabs', 'for both', { ttl: 0 });
        await first.wait('notification', 1);
        await second.wait('notification', 2);
        assert.deepEqual(first.values(), ['for both']);
        assert.deepEqual(second.values(), ['for one', 'for both']);
        for (const [userId, unknown] of [['tabs', 'c-1'], ['tabs', 'c-ffffffffffff'], ['tabs', 'tab 7'], ['nobody', connection],
            ['tabs', connection.toUpperCase()]]) {
            const answer = await herald.push(userId, 'for nobody', { ttl: 0, connection: unknown });
            assert.deepEqual([answer.status, answer.json.status, answer.json.online, answer.json.nodes], [200, 'dropped', 0, 0], unknown);
        }
        const lines = await herald.ndjson([
            { userId: 'tabs', data: 'a line', ttl: 0, connection }, { userId: 'tabs', data: 'a line', ttl: 0, connection: 'c-1' },
            { userId: 'tabs', data: 'a line', connection },
        ].map((line) => JSON.stringify(line)));
        const results = lines.text.trim().split('\n').map((line) => JSON.parse(line));
        assert.deepEqual(results.map(({ status, type }) => type ?? status), ['sent', 'dropped', 'invalid-field']);
        await second.wait('notification', 3);
        await first.roundTrip();
        assert.deepEqual(first.values(), ['for both']);
    });

    test('a push to one connection reaches it on whichever node it is', async (t) => {
        const redis = await (await t.redis()).start();
        const [here, there] = await Promise.all(range(2).map(() => t.herald({ store: redis.url })));
        const near = await here.subscribeV1('tabs');
        const far = await there.subscribeV1('tabs');
        const stream = await there.events('tabs');
        await near.wait('hello');
        const [{ connection }] = await far.wait('hello');
        for (const [herald, online] of [[here, 0], [there, 1]]) {
            const sent = await herald.mustPush('tabs', `by ${online}`, { ttl: 0, connection });
            assert.deepEqual([sent.status, sent.online, sent.nodes], ['sent', online, 1]);
        }
        for (const herald of [here, there]) {
            const dropped = await herald.mustPush('tabs', 'nobody', { ttl: 0, connection: 'c-7f3a' });
            assert.deepEqual([dropped.status, dropped.online, dropped.nodes], ['dropped', 0, 0]);
        }
        const { json: { connections } } = await here.request('GET', '/users/tabs');
        const page = connections.find(({ level }) => level === 'sse');
        await here.mustPush('tabs', 'for the page', { ttl: 0, connection: page.connection });
        await here.mustPush('tabs', 'for all', { ttl: 0 });
        await Promise.all([near.wait('notification', 1), far.wait('notification', 3), stream.waitCount(2)]);
        assert.deepEqual(near.values(), ['for all']);
        assert.deepEqual(far.values(), ['by 0', 'by 1', 'for all']);
        assert.deepEqual(stream.messages().map(({ data }) => data), ['"for the page"', '"for all"']);
    });

    test('a push to one connection is with ttl 0 and one user alone', async (t) => {
        const herald = await shared(t, 'memory', FAST_ARGS);
        for (const body of [
            { userId: 'u', data: 1, connection: 'c-7f3a' }, { userId: 'u', data: 1, ttl: 1, connection: 'c-7f3a' },
            { userIds: ['u'], data: 1, ttl: 0, connection: 'c-7f3a' }, { userId: 'u', data: 1, ttl: 0, connection: '' },
            { userId: 'u', data: 1, ttl: 0, connection: 7 }, { userId: 'u', data: 1, ttl: 0, connection: null },
        ]) {
            isProblem(await herald.post('/push', body), 400, 'invalid-field', 'connection');
        }
    });
};
