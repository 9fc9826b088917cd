'use strict';
/* CONTRACT 2, herald.v1: what the server says, what it takes, and what it answers to what it does not take. */

const assert = require('node:assert/strict');
const { assertProblem, everyStore, exchange, handshake, pushNumbers, range, waitUntil } = require('./harness');

const memory = (t, args = []) => t.sharedHerald(`memory ${args.join(' ')}`, { store: 'memory', args });
const FAST_PINGS = ['--ping-interval', '100ms'];

const BAD_ACKS = [
    ['a number that was never sent', (epoch) => ({ type: 'ack', id: `${epoch}-99` })],
    ['a number of another epoch', () => ({ type: 'ack', id: 'zzzzzzzz-1' })],
    ['an id without a number', (epoch) => ({ type: 'ack', id: epoch })],
    ['an id whose number is no number', (epoch) => ({ type: 'ack', id: `${epoch}-1x` })],
    ['an id whose number does not fit 64 bits', (epoch) => ({ type: 'ack', id: `${epoch}-99999999999999999999999` })],
    ['a negative number', (epoch) => ({ type: 'ack', id: `${epoch}--1` })],
    ['an empty id', () => ({ type: 'ack', id: '' })],
    ['an id that is no string', () => ({ type: 'ack', id: 1 })],
    ['no id at all', () => ({ type: 'ack' })],
];

async function assertOpen(client) {
    assert.equal(client.socket.readyState, 1, 'the connection stays');
    await client.roundTrip();
}

module.exports = (test) => {
    everyStore(test, 'hello is the first frame, and its epoch is that of the first id', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('never pushed to');
        await client.wait('hello');
        await herald.mustPush('never pushed to', 1);
        const [first] = await client.wait('notification');
        assert.equal(first.id, `${client.hello.epoch}-1`);
        assert.equal((await herald.user('never pushed to')).epoch, client.hello.epoch);
        assert.equal(client.frames[0].type, 'hello');
        assert.equal(client.hellos.length, 1);
    });

    everyStore(test, 'hello says who, where and how far', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        await pushNumbers(herald, 'told', 0, 3);
        const first = await herald.subscribeV1('told');
        await first.wait('notification', 3);
        first.ack(first.notifications[1].id);
        await herald.waitPending('told', 1);
        await first.close();
        const second = await herald.subscribeV1('told');
        await second.wait('notification');
        const { hello } = second;
        assert.match(hello.connection, /^c-/);
        assert.match(hello.epoch, /^[a-z0-9]{8}$/);
        assert.deepEqual([hello.user, hello.acked, hello.head, hello.pingInterval], ['told', 2, 3, 10]);
        assert.equal(typeof hello.resumed, 'boolean');
        assert.deepEqual(second.seqs(), [3]);
        const { connections } = await herald.user('told');
        assert.deepEqual(connections.map(({ connection, level }) => [connection, level]),
            [[hello.connection, 'herald.v1']]);
    });

    test('pingInterval is that of the option', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--ping-interval', '3s'] });
        const client = await herald.subscribeV1('u');
        assert.equal((await client.wait('hello'))[0].pingInterval, 3);
    });

    everyStore(test, 'a notification has id, seq, time, expires, replay and data', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const before = Date.now();
        const stored = await herald.mustPush('fields', { n: 0 }, { ttl: 60 });
        const client = await herald.subscribeV1('fields');
        await client.wait('notification');
        const sent = await herald.mustPush('fields', { n: 1 }, { ttl: 90 });
        await client.wait('notification', 2);
        for (const [n, pushed] of [stored, sent].entries()) {
            const frame = client.notifications[n];
            assert.deepEqual(
                [frame.id, frame.seq, frame.expires, frame.data], [pushed.id, n + 1, pushed.expires, { n }]);
            assert.ok(frame.time >= before - 1000 && frame.time <= Date.now() + 1000, `time ${frame.time}`);
            assert.equal(frame.expires - frame.time, [60000, 90000][n]);
        }
        assert.deepEqual(client.notifications.map(({ replay }) => replay), [true, false]);
    });

    test('data is kept byte for byte inside the frame', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('bytes');
        const texts = ['9007199254740993', '-0', '1e400', '{"b":1,"a":2,"b":3}', '"\\u0041\\/ ü"', '[ 1 ,\t2 ]'];
        for (const text of texts) {
            await herald.post('/push', `{"userId":"bytes","data":${text}}`);
        }
        await client.wait('notification', texts.length);
        const frames = client.messages.filter((text) => JSON.parse(text).type === 'notification');
        texts.forEach((text, n) => assert.ok(frames[n].includes(`"data":${text}`), `${text} in ${frames[n]}`));
    });

    everyStore(test, 'a ttl-0 notification has neither id, seq nor expires', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('fleeting');
        await client.wait('hello');
        await herald.mustPush('fleeting', 'now', { ttl: 0 });
        const [frame] = await client.wait('notification');
        for (const member of ['id', 'seq', 'expires']) {
            assert.ok(!(member in frame), `${member} in ${JSON.stringify(frame)}`);
        }
        assert.deepEqual([frame.data, frame.replay], ['now', false]);
        await herald.mustPush('fleeting', 'kept');
        const [, kept] = await client.wait('notification', 2);
        assert.equal(kept.seq, 1);
    });

    everyStore(test, 'an ack is cumulative, and an older one afterwards does no harm', async (t, store) => {
        const herald = await t.sharedHerald(store, { store });
        const client = await herald.subscribeV1('cumulative');
        await pushNumbers(herald, 'cumulative', 0, 5);
        const frames = await client.wait('notification', 5);
        client.ack(frames[2].id);
        await herald.waitPending('cumulative', 2);
        client.ack(frames[0].id);
        await client.roundTrip();
        assert.deepEqual([(await herald.user('cumulative')).acked, client.errors], [3, []]);
        client.ack(frames[4].id);
        await herald.waitPending('cumulative', 0);
    });

    test('a pong does not acknowledge a herald.v1 session', async (t) => {
        const herald = await memory(t, FAST_PINGS);
        const client = await herald.subscribeV1('ponging');
        await pushNumbers(herald, 'ponging', 0, 5);
        await client.wait('notification', 5);
        const before = client.pings.length;
        await waitUntil('pings were answered', () => client.pings.length > before + 2);
        await client.roundTrip();
        const { pending, acked } = await herald.user('ponging');
        assert.deepEqual([pending, acked], [5, 0]);
        await client.close();
        const again = await herald.subscribeV1('ponging');
        await again.wait('notification', 5);
        assert.deepEqual(again.seqs(), [1, 2, 3, 4, 5]);
    });

    for (const [name, frameOf] of BAD_ACKS) {
        test(`an ack with ${name} is answered with bad-ack, and the connection stays`, async (t) => {
            const herald = await memory(t);
            const userId = `bad ack ${name}`;
            const client = await herald.subscribeV1(userId);
            await pushNumbers(herald, userId, 0, 2);
            await client.wait('notification', 2);
            client.send(frameOf(client.hello.epoch));
            const [error] = await client.wait('error');
            assert.equal(error.code, 'bad-ack');
            assert.equal(typeof error.detail, 'string');
            await assertOpen(client);
            assert.deepEqual([(await herald.user(userId)).pending, client.errors.length], [2, 1]);
            client.ack(client.notifications[1].id);
            await herald.waitPending(userId, 0);
        });
    }

    test('unknown types and unknown fields are ignored', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('unknown');
        await herald.mustPush('unknown', 1);
        const [frame] = await client.wait('notification');
        client.send({ type: 'subscribe', topic: 'x' });
        client.send({ type: 'hello' });
        client.send({ note: 'mine', type: 'ack', more: { id: [] }, id: frame.id });
        await herald.waitPending('unknown', 0);
        await client.roundTrip();
        assert.deepEqual(client.errors, []);
    });

    const told = async (herald) => Promise.all(['refused', 'not_taken', 'ignored', 'dropped'].map(
        (what) => herald.metric(`herald_client_messages_${what}_total`)));

    test('a message for a backend is answered with not-taken, and what else is dropped is counted', async (t) => {
        const herald = await t.herald({ store: 'memory' });
        const client = await herald.subscribeV1('talker');
        const plain = await herald.subscribe('plain talker');
        for (const [n, id] of ['c-17', 'ü "\\', 'x'.repeat(64), 'x'.repeat(65), undefined, 17].entries()) {
            client.send({ type: 'message', id, data: { said: n } });
            const error = (await client.wait('error', n + 1))[n];
            const echoed = typeof id === 'string' && id.length <= 64 ? id : undefined;
            assert.deepEqual([error.code, error.id, typeof error.detail], ['not-taken', echoed, 'string']);
        }
        client.send('not JSON');
        assert.equal((await client.wait('error', 7))[6].code, 'bad-json');
        client.send({ type: 'chat', data: 'hello' });
        await assertOpen(client);
        plain.socket.send('{"type":"message"}');
        await waitUntil('all is counted', async () => (await told(herald)).join() === '7,6,1,1');
        assert.equal(client.errors.length, 7);
    });

    test('what is not a JSON object is answered with an error, and the connection stays', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('garbled');
        for (const [n, text] of ['not JSON', '{"type":"ping"', '', '[1]', '{"type":"ping"} x'].entries()) {
            client.send(text);
            const errors = await client.wait('error', n + 1);
            assert.match(errors[n].code, /^[a-z-]+$/, JSON.stringify(errors[n]));
        }
        assert.equal(client.pongs.length, 0);
        await assertOpen(client);
    });

    test('auth is answered with an error where nobody authenticates', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('nobody');
        client.send({ type: 'auth', token: 'abc.def.ghi' });
        const [error] = await client.wait('error');
        assert.equal(typeof error.code, 'string');
        assert.equal(client.auths.length, 0);
        await assertOpen(client);
    });

    test('ping is answered with pong, each once', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('pinging');
        range(5).forEach(() => client.send({ type: 'ping' }));
        await client.wait('pong', 5);
        await client.roundTrip();
        assert.equal(client.pongs.length, 6);
        assert.deepEqual(Object.keys(client.pongs[0]), ['type']);
    });

    test('a client message in fragments, with a pong between, is one message', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('pieces');
        await herald.mustPush('pieces', 1);
        const [{ id }] = await client.wait('notification');
        const text = JSON.stringify({ type: 'ack', id });
        client.socket.send(text.slice(0, 7), { fin: false });
        client.socket.pong('');
        client.socket.send(text.slice(7, 20), { fin: false });
        client.socket.send(text.slice(20), { fin: true });
        await herald.waitPending('pieces', 0);
        assert.deepEqual(client.errors, []);
    });

    test('a binary message closes with 1003', async (t) => {
        const herald = await memory(t);
        const client = await herald.subscribeV1('binary');
        client.send(Buffer.from('{"type":"ping"}'));
        assert.equal((await client.waitClosed()).code, 1003);
    });

    test('an offer in which neither name stands is 400', async (t) => {
        const herald = await memory(t);
        for (const offer of ['chat', 'herald.v2', 'Herald.V1', 'bearer.abc', 'chat, bearer.abc', 'herald.v1x']) {
            const answer = await exchange(herald.port,
                handshake('/ws?userId=u', { headers: { 'Sec-WebSocket-Protocol': offer } }));
            assertProblem(answer, 400);
        }
    });

    test('the answer names the level that was offered', async (t) => {
        const herald = await memory(t);
        for (const [offer, named] of [
            ['herald.v1', 'herald.v1'], ['chat, herald.v1', 'herald.v1'], ['herald.v1, bearer.abc', 'herald.v1'],
            ['bearer.abc, herald.plain', 'herald.plain'], ['herald.plain', 'herald.plain'],
        ]) {
            const answer = await exchange(herald.port,
                handshake('/ws?userId=u', { headers: { 'Sec-WebSocket-Protocol': offer } }));
            assert.deepEqual([answer.status, answer.headers['sec-websocket-protocol']], [101, named], offer);
        }
    });

    test('beside each other, a plain session gets the data alone and a herald.v1 session the envelope', async (t) => {
        const herald = await memory(t);
        const plain = await herald.subscribe('both');
        const v1 = await herald.subscribeV1('both');
        assert.equal((await herald.mustPush('both', { n: 1 })).online, 2);
        await plain.waitCount(1);
        await v1.wait('notification');
        assert.deepEqual([plain.messages, v1.values()], [['{"n":1}'], [{ n: 1 }]]);
    });

    test('a drain: goaway with a delay first, 1012 later, and a plain client hears 1012 alone', async (t) => {
        const herald = await t.herald({ store: 'memory', args: ['--drain-time', '500ms'] });
        const clients = await Promise.all(range(4).map((n) => herald.subscribeV1(`u${n}`)));
        const plain = await herald.subscribe('plain');
        await Promise.all(clients.map((client) => client.wait('hello')));
        herald.child.signal('SIGTERM');
        for (const client of clients) {
            const [goaway] = await client.wait('goaway');
            assert.equal(goaway.reason, 'drain');
            assert.ok(Number.isInteger(goaway.reconnectAfterMs) && goaway.reconnectAfterMs >= 0,
                JSON.stringify(goaway));
            assert.equal((await client.waitClosed()).code, 1012);
            assert.equal(client.frames.at(-1).type, 'goaway');
        }
        assert.equal((await plain.waitClosed()).code, 1012);
        assert.deepEqual(plain.messages, []);
    });
};
