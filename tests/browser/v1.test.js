'use strict';
/* herald.v1 in a page: what a page that must have everything does (CONTRACT 2 and 5; proto/README.md). */

const assert = require('node:assert/strict');
const { waitUntil } = require('../e2e/harness');
const { startSite } = require('./pages');

async function openPage(t) {
    const site = await startSite(t);
    const herald = await t.herald({ store: 'file', args: ['--allowed-origin', site.origin, '--ping-interval', '100ms'] });
    const { page } = await t.tab(`${site.origin}/`);
    return { herald, page };
}

/* Connects and resumes after the position that the page keeps over a reload. */
function connect(page, herald, userId) {
    return page.evaluate((address) => {
        window.heard = [];
        const position = localStorage.getItem('position');
        window.socket = new WebSocket(position ? `${address}&after=${position}` : address, 'herald.v1');
        window.socket.onmessage = (event) => window.heard.push(JSON.parse(event.data));
    }, herald.url(userId));
}

const say = (page, message) => page.evaluate((text) => window.socket.send(text), JSON.stringify(message));
const keep = (page, id) => page.evaluate((position) => localStorage.setItem('position', position), id);

/* The frame of that number, from 0. */
async function frame(page, number) {
    await waitUntil(`frame ${number}`, () => page.evaluate((n) => window.heard.length > n, number));
    return page.evaluate((n) => window.heard[n], number);
}

module.exports = (test) => {
    test('greets, delivers, is acknowledged by ack alone, takes back', async (t) => {
        const { herald, page } = await openPage(t);
        await connect(page, herald, 'ada');
        const hello = await frame(page, 0);
        assert.deepEqual([hello.type, hello.user, hello.acked, hello.head, hello.resumed],
            ['hello', 'ada', 0, 0, false]);
        assert.match(hello.epoch, /^[a-z0-9]{8}$/);
        assert.equal(await page.evaluate(() => window.socket.protocol), 'herald.v1');

        const pushed = await herald.mustPush('ada', { n: 1 });
        const first = await frame(page, 1);
        assert.deepEqual([first.type, first.id, first.seq, first.expires, first.replay, first.data],
            ['notification', pushed.id, 1, pushed.expires, false, { n: 1 }]);
        const pongs = await herald.metric('herald_pongs_total');
        await waitUntil('the browser has answered pings', async () => await herald.metric('herald_pongs_total') > pongs + 2);
        assert.equal((await herald.user('ada')).pending, 1, 'a pong acknowledges nothing here');
        await say(page, { type: 'ack', id: pushed.id });
        await herald.waitPending('ada', 0);

        const { id } = await herald.mustPush('ada', { n: 2 });
        await frame(page, 2);
        assert.deepEqual((await herald.cancel('ada', id)).json, { id, status: 'cancelled', written: true });
        assert.deepEqual(await frame(page, 3), { type: 'cancel', id });
    });

    test('goes on behind its position after a reload, and is told what is missing', async (t) => {
        const { herald, page } = await openPage(t);
        await connect(page, herald, 'reloader');
        const { epoch } = await frame(page, 0);
        const ids = [];
        for (const n of [1, 2]) {
            ids.push((await herald.mustPush('reloader', n)).id);
        }
        await frame(page, 2);
        await say(page, { type: 'ack', id: ids[0] });
        await herald.waitPending('reloader', 1);
        await keep(page, ids[1]); /* dealt with, and the page goes before it says so */
        await page.reload();
        await herald.waitOffline('reloader');
        for (const n of [3, 4]) {
            ids.push((await herald.mustPush('reloader', n)).id);
        }
        assert.equal((await herald.cancel('reloader', ids[2])).json.written, false);

        await connect(page, herald, 'reloader');
        const hello = await frame(page, 0);
        assert.deepEqual([hello.epoch, hello.acked, hello.head, hello.resumed], [epoch, 2, 4, true]);
        assert.deepEqual(await frame(page, 1), { type: 'gap', epoch, from: 3, to: 3, cause: 'cancelled' });
        const fourth = await frame(page, 2);
        assert.deepEqual([fourth.id, fourth.replay, fourth.data], [ids[3], true, 4]);
        await say(page, { type: 'ack', id: ids[3] });
        await herald.waitPending('reloader', 0);
    });

    test('a position that means nothing here is answered with a reset', async (t) => {
        const { herald, page } = await openPage(t);
        await herald.mustPush('stranger', 1);
        await keep(page, 'zzzzzzzz-9');
        await connect(page, herald, 'stranger');
        const hello = await frame(page, 0);
        assert.equal(hello.resumed, false);
        const gap = await frame(page, 1);
        assert.deepEqual([gap.type, gap.cause, gap.epoch], ['gap', 'reset', hello.epoch]);
        assert.equal((await frame(page, 2)).data, 1);
    });
};
