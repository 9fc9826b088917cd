'use strict';
/* The file of --webhooks: its faults, how it is read again, and whom the store keeps events for. */

const assert = require('node:assert/strict');
const { makeWebhookSecret, range, startReceiver, waitUntil } = require('./harness');

const FILE = 'hooks.conf';
const EVENTS = ['--events', 'user.online,user.offline', '--offline-after', '1s'];

const start = (t, text, extra = {}) => t.herald({
    store: 'memory', ...extra, args: [...EVENTS, '--webhooks', FILE, ...(extra.args ?? [])], files: { [FILE]: text },
});

/* What it says when it does not start. */
async function endOf(herald) {
    herald.launch();
    const end = await herald.child.exited;
    assert.equal(end.code, 2, herald.log);
    herald.wasKilled = true; /* it ended by itself: there is nothing to stop */
    return herald.log;
}

async function refused(t, text, args = []) {
    const herald = await t.prepare({
        store: 'memory', args: [...EVENTS, '--webhooks', FILE, ...args], files: { [FILE]: text },
    });
    return endOf(herald);
}

async function reload(herald, text, expected) {
    const before = herald.log.length;
    herald.writeFile(FILE, text);
    herald.child.signal('SIGHUP');
    await waitUntil(`the log says ${expected}`, () => expected.test(herald.log.slice(before)));
    return herald.log.slice(before);
}

const names = async (herald) => (await herald.request('GET', '/webhooks')).json.webhooks.map(({ name }) => name);

module.exports = (test) => {
    test('a bad line ends the start with its file, line and field, and without its secret', async (t) => {
        const key = makeWebhookSecret();
        const line = (rest) => `good https://a.example/ ${key}\n\n# more\n${rest}\n`;
        const rows = [
            [`shop https://a.example/ ${key} types=user.onlin`, /hooks\.conf:4: types: .*user\.online/],
            [`shop https://a.example/ ${key} bach=3`, /hooks\.conf:4: option: .*batch/],
            [`shop https://a.example/ ${key} batch=0`, /hooks\.conf:4: batch: /],
            ['shop https://a.example/ whsec_abc', /hooks\.conf:4: secret: /],
            [`shop a.example ${key}`, /hooks\.conf:4: url: /],
            [`sh/op https://a.example/ ${key}`, /hooks\.conf:4: name: /],
            [`good https://a.example/ ${key}`, /hooks\.conf:4: name: .*twice/],
        ];
        for (const [text, expected] of rows) {
            assert.match(await refused(t, line(text)), expected);
        }
        assert.match(await refused(t, range(16).map((n) => `n${n} https://a.example/ ${key}\n`).join('')), /hooks\.conf:16: /);
        assert.match(await refused(t, '', ['--webhook-proxy', 'socks5://a']), /--webhook-proxy/);
    });

    test('--webhooks without --events is refused', async (t) => {
        const herald = await t.prepare({ store: 'memory', args: ['--webhooks', FILE], files: { [FILE]: '' } });
        assert.match(await endOf(herald), /--webhooks needs --events/);
    });

    test('a bad file is not taken at a reload, and the log says why', async (t) => {
        const receiver = await startReceiver(t);
        const herald = await start(t, receiver.line());
        await reload(herald, `${receiver.line()}x\n`, /the webhooks stay as they were.*hooks\.conf:2: url/);
        await herald.subscribe('ada');
        await receiver.waitCount('user.online', 1);
        assert.deepEqual(await names(herald), ['hook']);
    });

    test('a changed file is read without a signal', async (t) => {
        const receiver = await startReceiver(t);
        const herald = await start(t, '');
        herald.writeFile(FILE, receiver.line());
        await waitUntil('it is there', async () => (await names(herald)).length === 1);
        await herald.subscribe('ada');
        await receiver.waitCount('user.online', 1);
    });

    test('a file that has become empty takes nothing away before SIGHUP', async (t) => {
        const receiver = await startReceiver(t, { answer: () => 500 });
        const herald = await start(t, receiver.line());
        await herald.subscribe('ada');
        await waitUntil('it is kept', async () => (await herald.request('GET', '/webhooks')).json.webhooks[0].lag === 1);
        herald.writeFile(FILE, '');
        await waitUntil('the log says so', () => /the webhooks' file is empty/.test(herald.log));
        assert.deepEqual(await names(herald), ['hook']);
        herald.writeFile(FILE, receiver.line('batch=7'));
        await waitUntil('what was written in its place is taken', () => /webhooks read again.*result=replaced/.test(herald.log));
        receiver.answer = () => 200;
        await receiver.waitCount('user.online', 1);
        await reload(herald, '', /webhook hook left, 0 events unread/);
    });

    test('an endpoint that leaves is forgotten, and the log says what it has not read', async (t) => {
        const receiver = await startReceiver(t, { answer: () => 500 });
        const herald = await start(t, receiver.line());
        for (const user of ['ada', 'bob', 'cleo']) {
            await herald.subscribe(user);
        }
        await waitUntil('they are kept', async () => (await herald.request('GET', '/webhooks')).json.webhooks[0].lag === 3);
        await reload(herald, '', /webhook hook left, 3 events unread/);
        assert.deepEqual(await names(herald), []);
    });

    test('a new endpoint gets what one that leaves in the same file had not read', async (t) => {
        const old = await startReceiver(t, { name: 'old', answer: () => 500 });
        const herald = await start(t, old.line());
        for (const user of ['ada', 'bob', 'cleo']) {
            await herald.subscribe(user);
        }
        await waitUntil('they are kept', async () => (await herald.request('GET', '/webhooks')).json.webhooks[0].lag === 3);
        const receiver = await startReceiver(t);
        await reload(herald, receiver.line(), /webhook old left, 3 events unread/);
        await receiver.waitCount('user.online', 3);
        receiver.check();
    });

    test('one that has left while Herald was away is forgotten at the start', async (t) => {
        const receiver = await startReceiver(t, { answer: () => 500 });
        const herald = await start(t, receiver.line(), { store: 'file' });
        await herald.subscribe('ada');
        await waitUntil('it is kept', async () => (await herald.request('GET', '/webhooks')).json.webhooks[0].lag === 1);
        await herald.stop();
        herald.writeFile(FILE, '');
        const before = herald.log.length;
        await herald.start();
        await waitUntil('the log says so', () => /webhook hook left, \d+ events unread/.test(herald.log.slice(before)));
    });

    test('one that has left while all nodes of a store were away is listed, and forgotten by DELETE', async (t) => {
        const receiver = await startReceiver(t, { answer: () => 500 });
        const redis = await t.redis();
        await redis.start();
        const herald = await start(t, receiver.line(), { store: redis.url });
        const listed = async () => (await herald.request('GET', '/events/consumers')).json.webhooks;
        const forget = () => herald.request('DELETE', '/events/consumers/hook');
        await herald.subscribe('ada');
        await waitUntil('it is kept', async () => (await listed())[0]?.lag === 1);
        assert.deepEqual((await listed()).map(({ name, inFile }) => [name, inFile]), [['hook', true]]);
        const refused = await forget();
        assert.equal(refused.status, 409);
        assert.match(refused.json.detail, /in its file/);
        await herald.stop();
        herald.writeFile(FILE, '');
        await herald.start();
        await waitUntil('the log names it', () => /not in this node's file.*DELETE \/events\/consumers\/NAME/.test(herald.log));
        assert.deepEqual((await listed()).map(({ name, inFile }) => [name, inFile]), [['hook', false]]);
        let answer;
        await waitUntil('no node has shown for a while that it has it', async () => {
            answer = await forget();
            return answer.status !== 409;
        }, 40000);
        assert.equal(answer.status, 200);
        assert.equal(answer.json.consumer, 'hook');
        assert.ok(answer.json.unread >= 1, answer.text);
        assert.deepEqual(await listed(), []);
        assert.equal((await forget()).status, 404);
    });

    test('a secret is rotated without a request that neither secret verifies', async (t) => {
        const old = makeWebhookSecret();
        const receiver = await startReceiver(t, { key: old });
        const herald = await start(t, receiver.line());
        await herald.subscribe('ada');
        await receiver.waitCount('user.online', 1);
        const next = makeWebhookSecret(64);
        await reload(herald, `hook ${receiver.url} ${next},${old}\n`, /webhooks read again/);
        await herald.subscribe('bob');
        await receiver.waitCount('user.online', 2);
        assert.equal(receiver.requests.at(-1).headers['webhook-signature'].split(' ').length, 2);
        receiver.check();
        receiver.key = next;
        await herald.subscribe('cleo');
        await receiver.waitCount('user.online', 3);
        await reload(herald, `hook ${receiver.url} ${next}\n`, /webhooks read again/);
        await herald.subscribe('dan');
        await receiver.waitCount('user.online', 4);
        assert.equal(receiver.requests.at(-1).headers['webhook-signature'].split(' ').length, 1);
        receiver.check();
    });

    test('an endpoint moves to another address with its position', async (t) => {
        const first = await startReceiver(t);
        const second = await startReceiver(t);
        const herald = await start(t, first.line());
        await herald.subscribe('ada');
        await first.waitCount('user.online', 1);
        await reload(herald, second.line(), /webhooks read again/);
        await herald.subscribe('bob');
        const [event] = await second.waitCount('user.online', 1);
        assert.equal(event.userId, 'bob');
    });

    test('types passes others over and acknowledges them, and from=now begins with what comes', async (t) => {
        const all = await startReceiver(t, { name: 'all' });
        const herald = await start(t, all.line(), { store: 'file' });
        const ada = await herald.subscribe('ada');
        await all.waitCount('user.online', 1);
        const offline = await startReceiver(t, { name: 'offline', types: 'user.offline' });
        const fresh = await startReceiver(t, { name: 'fresh' });
        await reload(herald, `${all.line()}${offline.line()}${fresh.line('from=now')}`, /webhooks read again/);
        await waitUntil('they are there', async () =>
            (await herald.request('GET', '/webhooks')).json.webhooks.every(({ state }) => state !== 'starting'));
        ada.close();
        const [event] = await offline.waitCount('user.offline', 1);
        assert.equal(event.userId, 'ada');
        await fresh.waitCount('user.offline', 1);
        assert.deepEqual(fresh.events.map(({ type }) => type), ['user.offline']);
        assert.deepEqual(offline.events.map(({ type }) => type), ['user.offline']);
        await waitUntil('nothing is left unread', async () =>
            (await herald.request('GET', '/webhooks')).json.webhooks.every(({ lag }) => lag === 0));
    });

    test('at most 15 consumers and endpoints: one more ends the start, and names them', async (t) => {
        const receiver = await startReceiver(t);
        const redis = await t.redis();
        await redis.start();
        const first = await start(t, range(15).map((n) => receiver.line().replace('hook ', `a${n} `)).join(''), { store: redis.url });
        const second = await t.prepare({
            store: redis.url, args: [...EVENTS, '--webhooks', FILE], files: { [FILE]: receiver.line() },
        });
        assert.match(await endOf(second), /hook: there are 15 consumers of events already \(webhooks: .*a7/);
        await first.subscribe('ada');
        await receiver.waitFor('each of the 15', ({ requests }) => requests.length >= 15);
    });

    for (const how of ['at the start', 'at a reload']) {
        test(`one of 15 gives way to another ${how}`, async (t) => {
            const receiver = await startReceiver(t);
            const lines = range(15).map((n) => receiver.line().replace('hook ', `a${n} `));
            const herald = await start(t, lines.join(''), { store: 'file' });
            lines[4] = receiver.line();
            herald.writeFile(FILE, lines.join(''));
            if (how === 'at the start') {
                await herald.stop();
                await herald.start();
            } else {
                herald.child.signal('SIGHUP');
            }
            await waitUntil('it is there', async () => (await herald.request('GET', '/webhooks')).json.webhooks
                .some(({ name, state }) => name === 'hook' && state !== 'starting' && state !== 'refused'));
            assert.match(herald.log, /webhook a4 left, 0 events unread/);
            assert.ok(!herald.log.includes('webhook refused'), herald.log);
        });
    }

    test('a type of which nothing is kept is told of, at the start and when the file is read again', async (t) => {
        const line = (types) => `hook https://a.example/ ${makeWebhookSecret()} ${types}\n`;
        const told = (type) => new RegExp(`level=warn event="a webhook asks for events that --events does not keep" webhook=hook type=${type}`);
        const herald = await start(t, line('types=user.online,client.message'));
        await herald.waitLog(told('client\\.message'));
        assert.doesNotMatch(herald.log, told('(user|gap)'));
        await reload(herald, line('types=notification.unacknowledged'), told('notification\\.unacknowledged'));
        const after = herald.log.length;
        await reload(herald, line(''), /webhooks read again/);
        assert.doesNotMatch(herald.log.slice(after), told('.'), 'without types it asks for what there is');
    });

    test('/readyz waits until events are kept for each endpoint', async (t) => {
        const receiver = await startReceiver(t);
        const redis = await t.redis();
        await redis.start();
        const herald = await t.prepare({
            store: redis.url, args: [...EVENTS, '--webhooks', FILE], files: { [FILE]: receiver.line() },
        });
        await redis.kill();
        herald.launch();
        await herald.waitStatus('/livez', 200);
        assert.equal((await herald.request('GET', '/readyz')).status, 503);
        await redis.start();
        await herald.waitReady();
        await herald.subscribe('ada');
        await receiver.waitCount('user.online', 1);
    });
};
