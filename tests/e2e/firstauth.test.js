'use strict';
/* CONTRACT 2, Identity: a herald.v1 client that brings its token in its first message. Its session then
 * moves to the user's home worker, so these run with three workers and many users. */

const assert = require('node:assert/strict');
const {
    OP, PATIENCE_MS, assertProblem, encodeFrame, exchange, handshake, jwks, makeKey, makeToken, parallel, range, secret,
    sleep, waitUntil, within,
} = require('./harness');

const key = makeKey('HS256', 'k');
const now = () => Math.floor(Date.now() / 1000);
const tokenFor = (sub, claims) => makeToken(key, { sub, ...claims });
const authOf = (sub, claims) => ({ type: 'auth', token: tokenFor(sub, claims) });

const optionsFor = (args = [], store = 'memory') => ({
    store, files: { keys: jwks(key) },
    args: ['--auth', 'jwt', '--jwt-keys', 'keys', '--workers', '3', '--log-level', 'debug', ...args],
});
const shared = (t) => t.sharedHerald('shared', optionsFor());
const brief = (t) => t.sharedHerald('brief', optionsFor(['--auth-timeout', '400ms']));

const V1 = { 'Sec-WebSocket-Protocol': 'herald.v1' };
const frameOf = (message) => encodeFrame({ payload: typeof message === 'string' ? message : JSON.stringify(message) });

/* The messages of a raw herald.v1 connection, until its hello and `count` pongs are among them. */
async function messagesUntil(raw, count) {
    const messages = [];
    const countOf = (type) => messages.filter((message) => message.type === type).length;
    while (countOf('hello') < 1 || countOf('pong') < count) {
        const frame = await raw.frameButPings();
        assert.ok(frame, `the connection ended behind ${JSON.stringify(messages)}`);
        assert.equal(frame.opcode, OP.TEXT, `opcode ${frame.opcode} ${frame.payload} behind ${JSON.stringify(messages)}`);
        messages.push(JSON.parse(frame.payload.toString()));
    }
    return messages;
}

const typesOf = (messages) => messages.map(({ type }) => type);

async function waitGone(herald) {
    await waitUntil('no session is left', async () => {
        const { json } = await herald.request('GET', '/stats');
        return json.connections === 0 && json.users === 0 && await herald.metric('herald_connections') === 0;
    });
}

async function assertIn(herald, client, userId) {
    const data = secret(`payload for ${userId} ${Math.random()}`);
    assert.equal((await herald.mustPush(userId, data)).online, 1);
    await client.wait('notification');
    assert.deepEqual(client.values(), [data]);
}

async function enter(herald, userId, options) {
    const client = await herald.subscribeV1(null, options);
    client.send(authOf(userId));
    await client.wait('hello');
    return client;
}

module.exports = (test) => {
    test('its first message says who it is, whatever worker it came to', async (t) => {
        const herald = await shared(t);
        await parallel(60, 10, async (i) => {
            const exp = now() + 100;
            const client = await herald.subscribeV1(null);
            client.send(authOf(`user ${i}`, { exp }));
            await client.wait('hello');
            assert.deepEqual(typesOf(client.frames), ['auth', 'hello']);
            assert.equal(client.auths[0].expires, exp * 1000);
            assert.equal(client.hello.user, `user ${i}`);
            await assertIn(herald, client, `user ${i}`);
            client.ack(client.notifications[0].id);
            await client.roundTrip();
            assert.equal(client.errors.length, 0);
            await herald.waitPending(`user ${i}`, 0);
            assert.equal((await client.close()).code, 1005);
        });
        await waitGone(herald);
    });

    test('before it there is no session of anybody', async (t) => {
        const herald = await shared(t);
        const client = await herald.subscribeV1('absent');
        assert.equal((await herald.mustPush('absent', secret(`stored ${Math.random()}`))).status, 'stored');
        assert.equal((await herald.user('absent')).online, false);
        client.send(authOf('absent'));
        await client.wait('notification');
        assert.equal((await herald.user('absent')).connections.length, 1);
    });

    test('only herald.v1 may do so: without a token plain is 401', async (t) => {
        const herald = await shared(t);
        for (const headers of [{}, { 'Sec-WebSocket-Protocol': 'herald.plain' }]) {
            assertProblem(await exchange(herald.port, handshake('/ws?userId=u', { headers })), 401);
        }
    });

    test('a client that says nothing is closed with 4102 after --auth-timeout', { tries: 3 }, async (t) => {
        const herald = await brief(t);
        const begin = Date.now();
        const client = await herald.subscribeV1(null);
        assert.equal((await client.waitClosed()).code, 4102);
        assert.ok(Date.now() - begin >= 390 && Date.now() - begin < 1500, `after ${Date.now() - begin} ms`);
        const late = await herald.subscribeV1('u');
        await sleep(600);
        late.send(authOf('u'));
        assert.equal((await late.waitClosed()).code, 4102);
        assert.deepEqual(late.frames, []);
        await waitGone(herald);
    });

    test('half an auth message, and messages that say nothing, win no time', async (t) => {
        const herald = await brief(t);
        const half = await t.raw(herald.port);
        const auth = frameOf(authOf('u'));
        half.send(Buffer.concat([Buffer.from(handshake('/ws', { headers: V1 })), auth.subarray(0, auth.length - 1)]));
        assert.equal((await half.answer()).status, 101);
        const chatter = await herald.subscribeV1(null);
        const timer = setInterval(() => chatter.socket.ping(), 50);
        try {
            assert.equal(await half.closeCode(), 4102);
            assert.equal((await chatter.waitClosed()).code, 4102);
        } finally {
            clearInterval(timer);
        }
    });

    test('a first message that is no auth message is 4101, and nothing behind it is read', async (t) => {
        const herald = await shared(t);
        for (const first of ['not JSON', '', '{}', '{"type":"auth"}', '{"type":"auth","token":1}']) {
            const client = await herald.subscribeV1(null);
            client.send(first);
            client.send(authOf('u'));
            assert.equal((await client.waitClosed()).code, 4101, first);
            assert.deepEqual(client.frames, []);
        }
    });

    test('a token that ends beyond 2106 is shown to end there, and renews', async (t) => {
        const herald = await shared(t);
        const client = await herald.subscribeV1(null);
        for (const exp of [4294967294, 1e10]) {
            client.send(authOf('far', { exp }));
        }
        assert.deepEqual((await client.wait('auth', 2)).map(({ expires }) => expires), [4294967294000, 4294967295000]);
    });

    test('auth comes first: anything else is 4101', async (t) => {
        const herald = await shared(t);
        for (const first of [{ type: 'ack', id: 'abcdefgh-1' }, { type: 'ping' }, { type: 'something new' }]) {
            const client = await herald.subscribeV1(null);
            client.send(first);
            client.send(authOf('u'));
            assert.equal((await client.waitClosed()).code, 4101, first.type);
            assert.deepEqual(client.frames, []);
        }
        const binary = await herald.subscribeV1(null);
        binary.socket.send(Buffer.from('x'), { binary: true });
        assert.equal((await binary.waitClosed()).code, 1003);
    });

    test('a token that is no good is 4101, an expired one 4100', async (t) => {
        const herald = await shared(t);
        for (const [token, code] of [[secret('no-good-at-all'), 4101], [tokenFor('u', { exp: now() - 60 }), 4100],
            [tokenFor('u', { exp: now() - 5 }), 4100], [makeToken(makeKey('HS256', 'k'), { sub: 'u' }), 4101]]) {
            const client = await herald.subscribeV1(null);
            client.send({ type: 'auth', token });
            assert.equal((await client.waitClosed()).code, code);
        }
    });

    test('a userId in the address must be that of the token', async (t) => {
        const herald = await shared(t);
        for (const i of range(6)) {
            const equal = await herald.subscribeV1(`named ${i}`);
            equal.send(authOf(`named ${i}`));
            await equal.wait('hello');
            assert.equal(equal.hello.user, `named ${i}`);
            const other = await herald.subscribeV1(`named ${i}`);
            other.send(authOf('somebody else'));
            assert.equal((await other.waitClosed()).code, 4101);
        }
    });

    test('a second auth message renews, and one for another user is 4101', async (t) => {
        const herald = await shared(t);
        await parallel(6, 6, async (i) => {
            const client = await herald.subscribeV1(null);
            client.send(authOf(`twice ${i}`, { exp: now() + 50 }));
            client.send(authOf(`twice ${i}`, { exp: now() + 90 }));
            await client.wait('auth', 2);
            await client.wait('hello');
            assert.ok(client.auths[1].expires > client.auths[0].expires);
            client.send(authOf('another'));
            assert.equal((await client.waitClosed()).code, 4101);
        });
    });

    test('its session ends with its token, and a renewal puts that off', { tries: 3 }, async (t) => {
        const herald = await shared(t);
        const exp = now() + 3;
        const [brief, renewed] = [await herald.subscribeV1(null), await herald.subscribeV1(null)];
        for (const client of [brief, renewed]) {
            client.send(authOf('ending', { exp }));
            await client.wait('hello');
        }
        renewed.send(authOf('ending', { exp: exp + 60 }));
        assert.equal((await brief.waitClosed()).code, 4100);
        assert.ok(Math.abs(Date.now() - exp * 1000) < 1000);
        await sleep(1100);
        await renewed.roundTrip();
    });

    test('after and device hold over the move', async (t) => {
        const herald = await shared(t);
        for (const i of range(6)) {
            const userId = `resumes ${i}`;
            const pushed = [];
            for (const n of range(3)) {
                pushed.push(await herald.mustPush(userId, secret(`${userId} number ${n}`)));
            }
            const client = await enter(herald, userId, { query: `&after=${pushed[1].id}&device=phone-${i}` });
            await client.wait('notification');
            assert.equal(client.hello.resumed, true);
            assert.equal(client.hello.acked, 2);
            assert.deepEqual(client.seqs(), [3]);
            const { connections } = await herald.user(userId);
            assert.deepEqual(connections.map(({ device, level }) => [device, level]), [[`phone-${i}`, 'herald.v1']]);
        }
    });

    test('the User-Agent holds over the move, and the session is counted once', async (t) => {
        const herald = await t.herald(optionsFor());
        for (const i of range(6)) {
            await enter(herald, `agent ${i}`, { headers: { 'User-Agent': 'a browser' } });
            assert.equal((await herald.user(`agent ${i}`)).connections[0].userAgent, 'a browser');
        }
        assert.equal(await herald.metric('herald_sessions_opened_total'), 6);
        assert.equal(await herald.metric('herald_connections'), 6);
        assert.equal((await herald.request('GET', '/stats')).json.connections, 6);
    });

    test('what is sent behind the auth message in the same segment is not lost', async (t) => {
        const herald = await shared(t);
        const pings = range(20).map(() => frameOf({ type: 'ping' }));
        const large = frameOf({ type: 'something large', text: 'x'.repeat(30000) });
        await parallel(30, 6, async (i) => {
            const raw = await t.raw(herald.port);
            raw.send(Buffer.concat([Buffer.from(handshake('/ws', { headers: V1 })), frameOf(authOf(`fast ${i}`)),
                ...(i % 2 ? [large] : []), ...pings]));
            assert.equal((await raw.answer()).status, 101);
            const messages = await messagesUntil(raw, 20);
            assert.equal(messages[0].type, 'auth');
            raw.destroy();
        });
        await waitGone(herald);
    });

    test('nor is it when it comes in pieces while the session moves', async (t) => {
        const herald = await shared(t);
        await parallel(40, 8, async (i) => {
            const raw = await t.raw(herald.port);
            raw.send(handshake('/ws', { headers: V1 }));
            assert.equal((await raw.answer()).status, 101);
            const bytes = Buffer.concat([frameOf(authOf(`pieces ${i}`)),
                frameOf({ type: 'large', text: 'y'.repeat(60000) }),
                frameOf({ type: 'large', text: 'z'.repeat(60000) }),
                ...range(10).map(() => frameOf({ type: 'ping' }))]);
            const step = [bytes.length, 60000, 10007, 4096, 1400][i % 5];
            for (let at = 0; at < bytes.length; at += step) {
                raw.send(bytes.subarray(at, at + step));
                await new Promise(setImmediate);
            }
            const messages = await messagesUntil(raw, 10);
            assert.deepEqual(typesOf(messages).filter((type) => type !== 'pong'), ['auth', 'hello']);
            raw.destroy();
        });
        await waitGone(herald);
    });

    test('an auth message in fragments, with a ping between them, is one', async (t) => {
        const herald = await shared(t);
        for (const i of range(6)) {
            const raw = await t.raw(herald.port);
            const text = JSON.stringify(authOf(`fragments ${i}`));
            raw.send(Buffer.concat([Buffer.from(handshake('/ws', { headers: V1 })),
                encodeFrame({ fin: false, payload: text.slice(0, 40) }),
                encodeFrame({ opcode: OP.PING, payload: 'between' }),
                encodeFrame({ opcode: OP.CONTINUATION, payload: text.slice(40) }),
                frameOf({ type: 'ping' })]));
            assert.equal((await raw.answer()).status, 101);
            assert.equal((await raw.frameButPings()).opcode, OP.PONG);
            assert.equal((await messagesUntil(raw, 1))[0].type, 'auth');
        }
    });

    test('whoever goes while the session moves leaves nothing behind', async (t) => {
        const herald = await t.herald(optionsFor());
        await parallel(150, 15, async (i) => {
            const raw = await t.raw(herald.port);
            raw.send(Buffer.concat([Buffer.from(handshake('/ws', { headers: V1 })), frameOf(authOf(`gone ${i}`))]));
            if (i % 3 === 0) {
                await raw.answer();
            }
            if (i % 2) {
                raw.socket.resetAndDestroy();
            } else if (i % 4) {
                raw.send(encodeFrame({ opcode: OP.CLOSE }));
                await raw.waitEnd();
            } else {
                raw.socket.end();
                await raw.waitEnd();
            }
        });
        await waitGone(herald);
        const client = await enter(herald, 'still served');
        await assertIn(herald, client, 'still served');
    });

    test('a drain closes those who have not said who they are, and those who just move', async (t) => {
        const herald = await t.herald(optionsFor(['--drain-time', '1500ms']));
        const silent = [];
        for (const _ of range(8)) {
            silent.push(await herald.subscribeV1(null));
        }
        const moving = [];
        for (const _ of range(8)) {
            moving.push(await herald.subscribeV1(null));
        }
        herald.child.signal('SIGTERM');
        moving.forEach((client, i) => client.send(authOf(`moving ${i}`)));
        for (const client of [...silent, ...moving]) {
            assert.equal((await client.waitClosed()).code, 1012);
            assert.equal(client.goaways.length, 1);
        }
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
    });

    test('an immediate stop in the midst of many moves ends cleanly', async (t) => {
        const herald = await t.herald(optionsFor());
        const raws = [];
        await parallel(60, 20, async (i) => {
            const raw = await t.raw(herald.port);
            raw.send(Buffer.concat([Buffer.from(handshake('/ws', { headers: V1 })), frameOf(authOf(`stop ${i}`))]));
            raws.push(raw);
            if (i === 30) {
                herald.child.signal('SIGTERM');
            }
        }).catch(() => {}); /* the last ones find nobody */
        assert.deepEqual(await within(herald.child.exited, PATIENCE_MS, 'the end'), { code: 0, signal: null });
        await Promise.all(raws.map((raw) => raw.waitEnd()));
    });

    test('a user over the limit of connections is replaced by who comes this way as well', async (t) => {
        const herald = await t.herald(optionsFor(['--max-connections-per-user', '1']));
        const first = await enter(herald, 'one');
        await enter(herald, 'one');
        assert.equal((await first.waitClosed()).code, 4508);
    });

    test('a blocked user who comes this way is closed with 4503', async (t) => {
        const herald = await shared(t);
        assert.equal((await herald.post('/deleteClient', { userId: 'blocked', blockFor: 60 })).status, 200);
        const client = await herald.subscribeV1(null);
        client.send(authOf('blocked'));
        assert.equal((await client.waitClosed()).code, 4503);
        assert.equal(client.hellos.length, 0);
    });

    test('a blocked user is 403 before the upgrade, and a page is closed with 4503', async (t) => {
        const herald = await shared(t);
        assert.equal((await herald.post('/deleteClient', { userId: 'blocked', blockFor: 60 })).status, 200);
        const headers = { Authorization: `Bearer ${tokenFor('blocked')}` };
        assertProblem(await exchange(herald.port, handshake('/ws', { headers })), 403, { type: 'forbidden' });
        const raw = await t.raw(herald.port);
        raw.send(handshake('/ws', { headers: { ...headers, Origin: 'http://127.0.0.1' } }));
        assert.equal((await raw.answer()).status, 101);
        assert.equal(await raw.closeCode(), 4503);
    });

    test('while the store is away they are let in, and are told when it is back', async (t) => {
        const redis = await (await t.redis()).start();
        const herald = await t.herald(optionsFor([], redis.url));
        await redis.kill();
        await waitUntil('it is away', async () => (await herald.push('other', 1)).status === 503);
        const client = await herald.subscribeV1(null);
        client.send(authOf('waits'));
        await client.wait('auth');
        await redis.start();
        await client.wait('hello');
        await assertIn(herald, client, 'waits');
    });
};
