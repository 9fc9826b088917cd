'use strict';
/* Event streams as a page has them: the browser's own EventSource, and fetch (CONTRACT 2). */

const assert = require('node:assert/strict');
const { range, sleep, waitUntil } = require('../e2e/harness');
const { startSite } = require('./pages');

/* A page of an allowed origin, and Herald on the file store. */
async function openPage(t, { isAllowed = true } = {}) {
    const site = await startSite(t);
    const allowed = isAllowed ? site.origin : 'http://127.0.0.1:1';
    const herald = await t.herald({ store: 'file', args: ['--allowed-origin', allowed] });
    const { page } = await t.tab(`${site.origin}/`);
    const url = (where, query) => `http://127.0.0.1:${herald.port}${where}?${query}`;
    return { herald, page, url };
}

/* All that a page does for a stream: it writes down what comes, and not one line for what breaks. */
function listen(page, url) {
    return page.evaluate((address) => {
        window.seen = [];
        window.opened = 0;
        window.source = new EventSource(address);
        window.source.onopen = () => { window.opened += 1; };
        window.source.onmessage = (event) => window.seen.push([Number(event.lastEventId.split('-')[1]), event.data]);
    }, url);
}

const seen = (page) => page.evaluate(() => window.seen);
const waitSeen = (page, count) => waitUntil(`${count} came`, async () => (await seen(page)).length >= count, 20000);
const waitOpened = (page, count) =>
    waitUntil(`opened ${count} times`, () => page.evaluate((n) => window.opened >= n, count), 20000);

const numbers = (pairs) => pairs.map(([seq]) => seq);

/* Pushes until it is answered, whatever breaks meanwhile: the key makes one of all repeats (CONTRACT 5.1). */
function pushSurely(herald, userId, n) {
    return waitUntil(`${n} is accepted`, async () =>
        (await herald.push(userId, n, { idempotencyKey: `key-${n}` })).status === 202, 20000);
}

/* Reads the stream in the page by fetch until it contains the text; returns what it read, or the error. */
function fetchStream(page, url, text, headers = {}) {
    return page.evaluate(async ([address, wanted, fields]) => {
        try {
            const controller = new AbortController();
            const response = await fetch(address, { headers: fields, signal: controller.signal });
            const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
            let read = '';
            while (!read.includes(wanted)) {
                const { done, value } = await reader.read();
                if (done) {
                    break;
                }
                read += value;
            }
            controller.abort();
            return `${response.status} ${read}`;
        } catch (error) {
            return `broken: ${error.name}`;
        }
    }, [url, text, headers]);
}

/* Content-Type makes the browser ask first (OPTIONS). */
function postFromPage(page, url, headers) {
    return page.evaluate(async ([address, fields]) => {
        try {
            return (await fetch(address, { method: 'POST', headers: fields })).status;
        } catch (error) {
            return `broken: ${error.name}`;
        }
    }, [url, headers]);
}

module.exports = (test) => {
    test('EventSource goes on over a restart by itself, without a loss or a repeat', async (t) => {
        const { herald, page, url } = await openPage(t);
        await listen(page, url('/sse', 'userId=reader'));
        await waitOpened(page, 1);
        for (const n of [1, 2, 3]) {
            await herald.mustPush('reader', n);
        }
        await waitSeen(page, 3);
        await herald.stop();
        await herald.restart();
        await herald.mustPush('reader', 4); /* most likely before the page is back */
        await waitOpened(page, 2);
        await herald.mustPush('reader', 5);
        await waitSeen(page, 5);
        assert.deepEqual(await seen(page), [1, 2, 3, 4, 5].map((n) => [n, String(n)]));
        await herald.waitPending('reader', 0);
    });

    /* What Herald knew of acknowledgements may be lost, so the contract allows repeats (CONTRACT 5.3). The numbers of
     * one connection rise, and each accepted push comes. */
    test('EventSource goes on over kill -9 by itself, without a loss', { timeoutMs: 60000 }, async (t) => {
        const { herald, page, url } = await openPage(t);
        const last = 40;
        await listen(page, url('/sse', 'userId=survivor'));
        await waitOpened(page, 1);
        const pushing = (async () => {
            for (const n of range(last, 1)) {
                await pushSurely(herald, 'survivor', n);
                await sleep(5);
            }
        })();
        await waitSeen(page, 10);
        await herald.kill();
        const before = (await seen(page)).length;
        await herald.restart();
        await pushing;
        await waitUntil('all came', async () => new Set(numbers(await seen(page))).size === last, 20000);
        const all = await seen(page);
        assert.deepEqual([...new Set(all.map(([, data]) => Number(data)))].sort((a, b) => a - b), range(last, 1));
        for (const part of [all.slice(0, before), all.slice(before)]) {
            assert.deepEqual(numbers(part), [...numbers(part)].sort((a, b) => a - b), 'rising');
        }
    });

    /* EventSource comes back whatever a stream says, but its timer waits for the day that the stream's retry set. Also one that
     * was sent nothing yet. */
    test('EventSource stays away after a kick, and a new one is let in', async (t) => {
        const { herald, page, url } = await openPage(t);
        for (const userId of ['kicked', 'kicked-before-the-first']) {
            await listen(page, url('/sse', `userId=${userId}`));
            await waitOpened(page, 1);
            if (userId === 'kicked') {
                await herald.mustPush(userId, 1);
                await waitSeen(page, 1);
            }
            const kick = await herald.post('/deleteClient', { userId });
            assert.equal(kick.json.closed, 1, kick.text);
            await waitUntil('it has noticed',
                () => page.evaluate(() => window.source.readyState === EventSource.CONNECTING));
            await sleep(500);
            assert.equal(await page.evaluate(() => window.opened), 1, 'it was not let in again');
            assert.equal((await herald.user(userId)).online, false);
            await page.evaluate(() => window.source.close());
            await listen(page, url('/sse', `userId=${userId}`));
            await waitOpened(page, 1);
        }
    });

    test('a page of an allowed origin reads the stream and acknowledges by fetch', async (t) => {
        const { herald, page, url } = await openPage(t);
        const { id } = await herald.mustPush('fetcher', { n: 1 });
        const second = await herald.mustPush('fetcher', { n: 2 });
        const query = 'userId=fetcher&ack=explicit';
        const read = await fetchStream(page, url('/sse', query), '{"n":2}');
        assert.match(read, /^200 /);
        assert.match(read, /data: \{"n":1\}/);
        assert.equal((await herald.user('fetcher')).pending, 2, 'reading is not acknowledging');
        await herald.waitOffline('fetcher');

        assert.equal(await postFromPage(page, url('/ack', `userId=fetcher&id=${id}`),
            { 'Content-Type': 'application/json' }), 204, 'asked first by OPTIONS');
        await herald.waitPending('fetcher', 1);
        const again = await fetchStream(page, url('/sse', query), '{"n":2}', { 'Last-Event-ID': id });
        assert.doesNotMatch(again, /\{"n":1\}/, 'Last-Event-ID may be sent from there');
        await herald.waitOffline('fetcher');
        assert.equal(await postFromPage(page, url('/ack', `userId=fetcher&id=${second.id}`), {}), 204);
        await herald.waitPending('fetcher', 0);
        assert.equal(await postFromPage(page, url('/ack', 'userId=fetcher&id=nonsense'), {}), 400,
            'a refusal can be read, too');
    });

    test('a page of a foreign origin can neither read, acknowledge nor connect', async (t) => {
        const { herald, page, url } = await openPage(t, { isAllowed: false });
        const { id } = await herald.mustPush('secret', { n: 1 });
        assert.equal(await fetchStream(page, url('/sse', 'userId=secret'), '{"n":1}'), 'broken: TypeError');
        for (const headers of [{}, { 'Content-Type': 'application/json' }]) {
            assert.equal(await postFromPage(page, url('/ack', `userId=secret&id=${id}`), headers), 'broken: TypeError');
        }
        await listen(page, url('/sse', 'userId=secret'));
        await waitUntil('EventSource has given up',
            () => page.evaluate(() => window.source.readyState === EventSource.CLOSED));
        assert.equal(await page.evaluate((address) => new Promise((resolve) => {
            new WebSocket(address).onclose = (event) => resolve(event.code);
        }), url('/ws', 'userId=secret').replace('http', 'ws')), 1006);
        assert.deepEqual(await seen(page), []);
        assert.equal((await herald.user('secret')).pending, 1, 'nothing was acknowledged, not even blindly');
    });
};
