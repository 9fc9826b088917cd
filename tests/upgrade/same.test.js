'use strict';
/* What a session keeps when another process goes on with it, and what of the options counts for the new process alone. */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { exchange, freePort, handshake, jwks, makeKey, makeToken, rawConnect, waitUntil } = require('../e2e/harness');

const connectionsOf = async (herald, userId) => (await herald.request('GET', `/users/${userId}`)).json.connections;

const has = async (client, count) => waitUntil(`${count} notifications`, () => client.values().length >= count);

module.exports = (test) => {
    test('a connection is the same for operators: its name, address, agent, device and beginning', async (t) => {
        const herald = await t.herald({ store: 'redis', args: ['--trusted-proxy', '127.0.0.0/8', '--insecure'] });
        const headers = { 'X-Forwarded-For': '192.0.2.7', 'User-Agent': 'Reader/1.0' };
        await herald.subscribe('u', { headers });
        const v1 = await herald.subscribeV1('u', { headers, query: '&device=phone' });
        await herald.events('u', { headers });
        await v1.wait('hello');
        await herald.mustPush('u', 'one');
        await v1.wait('notification');
        v1.ack(v1.notifications[0].id);
        await v1.roundTrip();
        await waitUntil('the plain ones have acknowledged', async () => (await connectionsOf(herald, 'u')).every(({ acked }) => acked === 1));
        const before = await connectionsOf(herald, 'u');
        assert.deepEqual(before.map(({ address, userAgent }) => [address, userAgent]), Array(3).fill(['192.0.2.7', 'Reader/1.0']));
        await herald.upgrade();
        assert.deepEqual(await connectionsOf(herald, 'u'), before);
    });

    for (const store of ['redis', 'file']) {
        test(`what is acknowledged just before and just after comes no more (${store})`, async (t) => {
            const herald = await t.herald({ store });
            const client = await herald.subscribeV1('u');
            await client.wait('hello');
            for (let n = 0; n < 6; n++) {
                await herald.mustPush('u', n);
            }
            await client.wait('notification', 6);
            client.ack(client.notifications[3].id);
            await herald.upgrade();
            client.ack(client.notifications[4].id);
            await client.roundTrip();
            await herald.waitPending('u', 1);
            client.terminate();
            const again = await herald.subscribeV1('u');
            await again.wait('notification');
            await again.roundTrip();
            assert.deepEqual(again.values(), [5]);
        });
    }

    test('a withdrawal is told after it, and a resume goes on from before it', async (t) => {
        const herald = await t.herald({ store: 'redis' });
        const client = await herald.subscribeV1('u', { query: '&device=phone' });
        await client.wait('hello');
        const { id } = await herald.mustPush('u', 'withdrawn');
        await client.wait('notification');
        await herald.upgrade();
        assert.equal((await herald.cancel('u', id)).status, 200);
        await client.wait('cancel');
        await herald.mustPush('u', 'kept');
        await has(client, 2);
        client.terminate();
        const again = await herald.subscribeV1('u', { query: `&device=phone&after=${client.notifications[0].id}` });
        await again.wait('notification');
        assert.equal(again.hello.resumed, true);
        assert.deepEqual(again.values(), ['kept']);
    });

    test('other workers, a lower limit, no compression: sessions stay, and new ones meet the new options', async (t) => {
        const file = path.join(t.tempDir(), 'herald.ini');
        const write = (lines) => fs.writeFileSync(file, `${lines.join('\n')}\n`);
        write(['workers = 2', 'compress = on', 'max-connections-per-user = 8']);
        const herald = await t.herald({ store: 'redis', workers: null, args: ['--config', file] });
        const clients = await Promise.all([1, 2, 3].map(() => herald.subscribeV1('u', { perMessageDeflate: { threshold: 0 } })));
        await Promise.all(clients.map((client) => client.wait('hello')));
        assert.match(clients[0].socket.extensions, /permessage-deflate/);
        write(['workers = 3', 'compress = off', 'max-connections-per-user = 1']);
        await herald.upgrade();
        const long = 'long '.repeat(400);
        await herald.mustPush('u', long);
        await Promise.all(clients.map((client) => client.wait('notification')));
        clients.forEach((client) => assert.deepEqual(client.values(), [long]));
        await clients[0].roundTrip(); /* its message is compressed */
        const fresh = await herald.subscribeV1('u', { perMessageDeflate: true });
        await fresh.wait('hello');
        assert.equal(fresh.socket.extensions, '');
        assert.equal((await clients[0].waitClosed()).code, 4508);
    });

    test('another --listen: the old address is closed, and its sessions stay', async (t) => {
        const herald = await t.prepare({ store: 'redis' });
        const ports = [herald.port, await freePort()];
        const listenAt = (port) => herald.writeFile('herald.ini', `listen = 127.0.0.1:${port}\n`);
        const given = herald.arguments();
        herald.arguments = () => ['--config', 'herald.ini', ...given.slice(2)];
        listenAt(ports[0]);
        await herald.start();
        const client = await herald.subscribe('u');
        listenAt(ports[1]);
        herald.port = ports[1];
        await herald.upgrade();
        await herald.mustPush('u', 1);
        await client.waitCount(1);
        await assert.rejects(rawConnect(ports[0]), /ECONNREFUSED/);
        const late = await herald.subscribe('u');
        await herald.mustPush('u', 2);
        await Promise.all([client.waitCount(2), late.waitCount(1)]);
    });

    test('other keys: sessions stay, and tokens of the old keys are refused', async (t) => {
        const [before, after] = [makeKey('HS256', 'before'), makeKey('HS256', 'after')];
        const tokenOf = (key) => makeToken(key, { sub: 'u', exp: Math.floor(Date.now() / 1000) + 300 });
        const statusOf = async (herald, key) =>
            (await exchange(herald.port, handshake('/ws', { headers: { Authorization: `Bearer ${tokenOf(key)}` } }))).status;
        const herald = await t.herald({ store: 'redis', files: { keys: jwks(before) },
            args: ['--auth', 'jwt', '--jwt-keys', 'keys'] });
        const client = await herald.subscribeV1(null, { headers: { Authorization: `Bearer ${tokenOf(before)}` } });
        await client.wait('hello');
        herald.writeFile('keys', jwks(after));
        await herald.upgrade();
        assert.deepEqual([await statusOf(herald, before), await statusOf(herald, after)], [401, 101]);
        await herald.mustPush('u', 1);
        await client.wait('notification');
        client.send({ type: 'auth', token: tokenOf(after) });
        await client.wait('auth');
        client.send({ type: 'auth', token: tokenOf(before) });
        assert.equal((await client.waitClosed()).code, 4101);
    });
};
