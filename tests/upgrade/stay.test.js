'use strict';
/* What nobody notices: sessions stay, and pushes flow, while one process takes the place of another. */

const assert = require('node:assert/strict');
const http = require('node:http');
const { range, sleep, waitUntil } = require('../e2e/harness');
const { openCrowd, valuesOf } = require('./crowd');

const statsOf = async (herald) => (await herald.request('GET', '/stats')).json;

async function upgradeUnderPushes(t, herald, times) {
    const crowd = await openCrowd(herald);
    crowd.publish(t);
    await crowd.waitFlow();
    for (let n = 0; n < times; n++) {
        const before = herald.child.process.pid;
        await herald.upgrade();
        assert.notEqual(herald.child.process.pid, before);
        await crowd.waitFlow();
    }
    await crowd.assertUnnoticed();
    const { connections, upgrade } = await statsOf(herald);
    assert.equal(connections, crowd.sessions.length);
    assert.deepEqual([upgrade.state, upgrade.sessions, typeof upgrade.pauseMs], ['done', crowd.sessions.length, 'number']);
    t.note(`${crowd.publisher.accepted.length} pushes, ${upgrade.pauseMs} ms`);
}

/* One push after the other over a kept connection, and no second try. */
function publishOn(herald, userId) {
    const publisher = { userId, accepted: [], longestMs: 0 };
    publisher.done = (async () => {
        for (let n = 0; !publisher.isOver && publisher.failed === undefined; n++) {
            const began = Date.now();
            const answer = await herald.push(userId, n).catch((error) => ({ status: error.message }));
            publisher.longestMs = Math.max(publisher.longestMs, Date.now() - began);
            if (answer.status === 202) {
                publisher.accepted.push(n);
            } else {
                publisher.failed = `${answer.status} ${answer.text}`;
            }
        }
    })();
    return publisher;
}

/* A body of ten lines that takes a fifth of a second: {status, text}. */
function sendSlowBody(herald, userId) {
    return new Promise((resolve, reject) => {
        const request = http.request({
            host: '127.0.0.1', port: herald.adminPort, method: 'POST', path: '/push', headers: { 'Content-Type': 'application/x-ndjson' },
        }, (response) => {
            let text = '';
            response.setEncoding('utf8').on('data', (piece) => { text += piece; }).on('error', reject)
                .on('end', () => resolve({ status: response.statusCode, text }));
        });
        request.on('error', reject);
        (async () => {
            for (let n = 0; n < 10; n++) {
                request.write(`${JSON.stringify({ userId, data: n })}\n`);
                await sleep(20);
            }
            request.end();
        })();
    });
}

/* One body after the other; `refused` are the results of lines that were not pushed. */
function sendBodies(herald, userId) {
    const sender = { bodies: 0, refused: [] };
    sender.done = (async () => {
        while (!sender.isOver) {
            const { status, text } = await sendSlowBody(herald, userId);
            const results = text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
            sender.refused.push(...results.filter(({ id }) => id === undefined), ...(status === 200 ? [] : [{ status }]));
            sender.bodies += 1;
        }
    })();
    return sender;
}

module.exports = (test) => {
    for (const store of ['redis', 'file']) {
        test(`60 sessions stay over three upgrades in a row while pushes flow (${store})`, async (t) => {
            const herald = await t.herald({ store });
            await upgradeUnderPushes(t, herald, 3);
        });
    }

    for (const store of ['redis', 'file']) {
        test(`publishers that never rest lose no push, and get no refusal (${store})`, async (t) => {
            const herald = await t.herald({ store, args: ['--inbox-max', '100000'] });
            const crowd = await openCrowd(herald, { perKind: 4 });
            const publishers = range(12).map((n) => publishOn(herald, crowd.userIds[n]));
            for (let n = 0; n < 3; n++) {
                const before = publishers.map(({ accepted }) => accepted.length);
                await herald.upgrade();
                await waitUntil('all go on', () => publishers.every(({ accepted, failed }, i) => accepted.length > before[i] + 20 || failed));
            }
            publishers.forEach((publisher) => { publisher.isOver = true; });
            for (const { userId, accepted, done, failed } of publishers) {
                await done;
                assert.equal(failed, undefined);
                const session = crowd.sessions.find((each) => each.userId === userId);
                await waitUntil('all have come', () => valuesOf(session).length >= accepted.length);
                assert.deepEqual(valuesOf(session), accepted);
            }
            assert.deepEqual(crowd.closes, []);
            t.note(`${publishers.reduce((sum, { accepted }) => sum + accepted.length, 0)} pushes, the longest took `
                + `${Math.max(...publishers.map(({ longestMs }) => longestMs))} ms`);
        });
    }

    test('POST /upgrade does the same, and says so at once', async (t) => {
        const herald = await t.herald({ store: 'file' });
        const crowd = await openCrowd(herald, { perKind: 2 });
        crowd.publish(t);
        await herald.upgrade({
            ask: async () => {
                const answer = await herald.post('/upgrade', {});
                assert.deepEqual([answer.status, answer.json], [202, { state: 'starting' }]);
            },
        });
        await waitUntil('it is done', async () => (await statsOf(herald)).upgrade.state === 'done');
        const metrics = (await herald.request('GET', '/metrics')).text;
        assert.match(metrics, /^herald_upgrades_total\{result="done"\} 1$/m);
        await crowd.waitFlow();
        await crowd.assertUnnoticed();
    });

    for (const store of ['redis', 'file']) {
        /* A body that is under way in the last second has this second to end. */
        test(`bodies that follow one another without rest are pushed whole (${store})`, { tries: 3 }, async (t) => {
            const herald = await t.herald({ store });
            const senders = ['a', 'b', 'c'].map((userId) => sendBodies(herald, userId));
            await waitUntil('bodies are sent', () => senders.every(({ bodies }) => bodies > 0));
            await herald.upgrade();
            const before = senders.map(({ bodies }) => bodies);
            await waitUntil('more are sent', () => senders.every(({ bodies }, n) => bodies > before[n] + 1));
            senders.forEach((sender) => { sender.isOver = true; });
            await Promise.all(senders.map(({ done }) => done));
            assert.deepEqual(senders.flatMap(({ refused }) => refused), []);
        });
    }
};
