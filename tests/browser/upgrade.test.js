'use strict';
/* A page over three upgrades in a row: its WebSockets and its event stream are the same objects afterwards, none was closed
 * or opened again, and each has had every notification once, in order. */

const assert = require('node:assert/strict');
const { keepPushing, range, waitUntil } = require('../e2e/harness');
const { startSite } = require('./pages');

const UPGRADES = 3;

/* All three of one user; what they have had, and every event that tells of an end or of a beginning. */
function connectAll(page, { plain, v1, sse }) {
    return page.evaluate(([plainAt, v1At, sseAt]) => {
        window.had = { plain: [], v1: [], sse: [] };
        window.events = [];
        const follow = (name, source, take) => {
            ['open', 'close', 'error'].forEach((type) => source.addEventListener(type, () => window.events.push(`${name} ${type}`)));
            source.addEventListener('message', (event) => take(event.data));
            return source;
        };
        const takeV1 = (text) => {
            const message = JSON.parse(text);
            if (message.type === 'notification') {
                window.had.v1.push(message.data);
                window.sources.v1.send(JSON.stringify({ type: 'ack', id: message.id }));
            }
        };
        window.sources = {
            plain: follow('plain', new WebSocket(plainAt), (text) => window.had.plain.push(JSON.parse(text))),
            v1: follow('v1', new WebSocket(v1At, 'herald.v1'), takeV1),
            sse: follow('sse', new EventSource(sseAt), (text) => window.had.sse.push(JSON.parse(text))),
        };
    }, [plain, v1, sse]);
}

const states = (page) => page.evaluate(() => Object.values(window.sources).map(({ readyState }) => readyState));
const counts = (page) => page.evaluate(() => Object.values(window.had).map(({ length }) => length));
const waitCounts = (page, n) => waitUntil(`${n} have come to each`, async () => (await counts(page)).every((count) => count >= n), 20000);

module.exports = (test) => {
    for (const [store, args] of [['file', []], ['redis', ['--compress']]]) {
        test(`a page stays connected over ${UPGRADES} upgrades in a row (${store})`, async (t) => {
            const site = await startSite(t);
            const herald = await t.herald({ store, args: ['--allowed-origin', site.origin, '--ping-interval', '100ms', ...args] });
            const { page } = await t.tab(`${site.origin}/`);
            const sse = `http://127.0.0.1:${herald.port}/sse?userId=u`;
            await connectAll(page, { plain: herald.url('u'), v1: herald.url('u'), sse });
            await waitUntil('all are open', async () => (await states(page)).every((state) => state === 1));
            const pusher = keepPushing(herald, 'u', 0);
            for (const upgrade of range(UPGRADES)) {
                await waitCounts(page, 5 * (upgrade + 1));
                const before = pusher.next;
                await herald.upgrade();
                await pusher.race(waitCounts(page, before + 5));
            }
            const end = await pusher.stop();
            await waitCounts(page, end);
            assert.deepEqual((await page.evaluate(() => window.events)).sort(), ['plain open', 'sse open', 'v1 open'], 'no end, no second beginning');
            assert.deepEqual(await states(page), [1, 1, 1]);
            assert.deepEqual(Object.values(await page.evaluate(() => window.had)), Array(3).fill(range(end)));
            await herald.waitPending('u', 0);
            t.cleanup(() => page.evaluate(() => Object.values(window.sources).forEach((source) => source.close())));
        });
    }
};
