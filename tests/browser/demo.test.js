'use strict';
/* The demo page: subscribe, receive, go offline, be pushed to, come back and receive what was missed, in order; and
 * the picture for people. */

const assert = require('node:assert/strict');
const { spawnSync } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { Authority, waitUntil } = require('../e2e/harness');

const OUT = path.join(__dirname, '../out');
const PICTURE = path.join(__dirname, '../../deploy/demo.png');

class DemoPage {
    constructor(tab) {
        this.page = tab.page;
    }

    id(name) {
        return this.page.getByTestId(name);
    }

    async waitState(state) {
        await this.page.waitForSelector(`#state[data-state="${state}"]`, { timeout: 15000 });
    }

    async connect(userId, level = 'herald.v1') {
        await this.id('user-id').fill(userId);
        await this.id('level').selectOption(level);
        await this.id('connect').click();
        await this.waitState('online');
    }

    async goOffline() {
        await this.id('disconnect').click();
        await this.waitState('offline');
    }

    /* Oldest first, as pushed. */
    async received() {
        const raws = await this.id('notification').evaluateAll((cards) => cards.map((card) => card.dataset.raw));
        return raws.reverse();
    }

    waitReceived(count) {
        return waitUntil(`${count} cards`, async () => (await this.received()).length === count, 15000);
    }

    /* Says it to the backends; answers what the page shows of the answer. */
    async say(text) {
        await this.id('say').fill(text);
        await this.id('say-it').click();
        await this.page.waitForSelector('#said:not([hidden])');
        return this.id('said').innerText();
    }

    async push(text, ttl = '') {
        await this.id('data').fill(text);
        await this.id('ttl').selectOption(ttl);
        const answered = this.page.waitForResponse((response) => response.url().endsWith('/demo/push'));
        await this.id('send').click();
        await answered;
        await this.page.waitForSelector('#send:not([disabled])');
        return this.id('answer').innerText();
    }
}

/* Herald with its demo page, and the page open. */
async function openDemo(t) {
    const herald = await t.herald({ store: 'file', args: ['--demo'] });
    const page = new DemoPage(await t.tab(`http://127.0.0.1:${herald.port}/`));
    return { herald, page };
}

/* The picture for people: a few good-looking notifications. */
async function takePicture(t) {
    const { herald, page } = await openDemo(t);
    await page.page.setViewportSize({ width: 1120, height: 1040 });
    await herald.mustPush('ada', { title: 'Goal!', text: 'Rovers 2 : 1 United', minute: 87, live: true });
    await page.connect('ada');
    for (const data of [
        { title: 'Your order is on its way', order: 'A-20718', items: ['Tea', 'Kettle'], eta: '16:40' },
    ]) {
        await herald.mustPush('ada', data);
    }
    await page.waitReceived(2);
    await page.push(JSON.stringify({ title: 'A message from Grace', text: 'The build is green. Shall we ship it?', unread: 3 }, null, 2));
    await page.waitReceived(3);
    await page.say('Ship it!');
    await page.waitReceived(4);
    await page.page.evaluate(() => {
        document.activeElement.blur();
        return Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})).slice(0, 8));
    });
    const file = path.join(OUT, 'demo.png');
    await page.page.screenshot({ path: file, scale: 'css' });
    assert.ok(fs.statSync(file).size > 10000, 'a picture of some size');
    if (t.isUpdating) {
        fs.copyFileSync(file, PICTURE);
    }
}

module.exports = (test) => {
    fs.mkdirSync(OUT, { recursive: true });

    test('subscribes, receives, goes offline, comes back and receives what it missed, in order', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.connect('ada');
        await herald.mustPush('ada', { title: 'Through the admin port', n: 1 });
        await page.waitReceived(1);
        const answer = await page.push('{"title":"Through the page","n":9007199254740993}');
        assert.match(answer, /202 sent/);
        await page.waitReceived(2);
        assert.equal((await page.received())[1], '{"title":"Through the page","n":9007199254740993}');
        assert.match(await page.id('feed').innerText(), /9007199254740993/);

        await page.goOffline();
        await herald.waitOffline('ada');
        await herald.mustPush('ada', { n: 3 });
        assert.match(await page.push('{"n":4}'), /202 stored/);
        assert.equal((await page.received()).length, 2);
        await page.connect('ada');
        await page.waitReceived(4);
        assert.deepEqual((await page.received()).slice(2), ['{"n":3}', '{"n":4}']);
        assert.equal(await page.id('counter').innerText(), '4');
        await herald.waitPending('ada', 0);
    });

    test('what waited is marked, and each shows its id and what its acknowledgement took', async (t) => {
        const { herald, page } = await openDemo(t);
        const waiting = await herald.mustPush('ada', { title: 'Waits' });
        await page.connect('ada');
        await page.waitReceived(1);
        await herald.mustPush('ada', { title: 'Live' });
        await page.waitReceived(2);
        await herald.push('ada', { title: 'Now or never' }, { ttl: 0 });
        await page.waitReceived(3);
        const cards = await page.id('notification').evaluateAll((all) => all.map((card) => ({
            title: card.querySelector('h3').firstChild.textContent, mark: card.querySelector('[data-testid=mark]')?.textContent,
            foot: card.querySelector('footer')?.textContent })));
        const [never, live, waited] = cards;
        assert.deepEqual([never.title, never.mark, never.foot], ['Now or never', undefined, undefined]);
        assert.deepEqual([live.title, live.mark], ['Live', undefined]);
        assert.match(waited.mark, /^waited \d/);
        assert.match(waited.foot, new RegExp(`^id ${waiting.id} · acknowledged [\\d.]+ m?s after the push$`));
        await herald.waitPending('ada', 0);
    });

    test('what will not come and what was taken back is shown', async (t) => {
        const { herald, page } = await openDemo(t);
        const { id } = await herald.mustPush('ada', 1);
        await herald.mustPush('ada', 2);
        assert.equal((await herald.request('DELETE', `/users/ada/messages/${id}`)).status, 200);
        await page.connect('ada');
        await page.waitReceived(1);
        assert.match(await page.id('gap').innerText(), /Number 1 will not come\s*cancelled/);
    });

    test('on the plain level it shows the data alone, and the browser acknowledges', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.connect('ada', 'plain');
        assert.match(await page.id('state-detail').innerText(), /plain/);
        await herald.mustPush('ada', { n: 9007199254740993n.toString() });
        await page.waitReceived(1);
        assert.equal(await page.page.locator('#feed footer').count(), 0);
        await herald.waitPending('ada', 0);
    });

    test('a newcomer presses one button, and the line for backends works as it stands', async (t) => {
        const { herald, page } = await openDemo(t);
        assert.equal(await page.id('user-id').inputValue(), 'ada');
        await page.id('connect').click();
        await page.waitState('online');
        const line = await page.id('curl').innerText();
        assert.ok(line.includes(`http://127.0.0.1:${herald.adminPort}/push`), line);
        const typed = spawnSync('bash', ['-c', line.replace('curl ', 'curl -sS ')], { encoding: 'utf8' });
        assert.equal(JSON.parse(typed.stdout).status, 'sent', typed.stderr);
        await page.waitReceived(1);
    });

    test('on a telephone the first card is seen without scrolling', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.page.setViewportSize({ width: 390, height: 844 });
        await page.connect('ada');
        await page.push('{"title":"Hello","text":"You see me."}');
        await page.waitReceived(1);
        const seen = await page.id('notification').first().evaluate((card) => {
            const { top } = card.querySelector('p').getBoundingClientRect();
            return { top, wide: document.documentElement.scrollWidth, scrolled: scrollY };
        });
        assert.ok(seen.top + 20 < 844 && seen.scrolled === 0, JSON.stringify(seen));
        assert.ok(seen.wide <= 390, JSON.stringify(seen));
        await page.page.screenshot({ path: path.join(OUT, 'demo-telephone.png') });
        await herald.waitPending('ada', 0);
    });

    test('what it says is accepted, and answered by an echo to this tab alone', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.connect('ada');
        const other = await herald.subscribeV1('ada');
        const answer = await page.say('Hello, backends');
        assert.match(answer, /accepted\. It is kept for the backends\.\s*id [a-z0-9]+-1 · after [\d.]+ m?s/);
        await page.waitReceived(1);
        const [echo] = (await page.received()).map((text) => JSON.parse(text));
        assert.deepEqual([echo.title, echo.data], ['Herald heard you', 'Hello, backends']);
        assert.match(echo.connection, /^c-[0-9a-f]+$/);
        assert.ok(answer.includes(echo.clientId), answer);
        await page.id('say').fill('{"n":9007199254740993}');
        await page.id('say-it').click();
        await page.waitReceived(2);
        assert.match((await page.received())[1], /"data":\{"n":9007199254740993\}\}$/, 'JSON is said byte for byte');
        await other.roundTrip();
        assert.deepEqual(other.values(), []);
        const line = await page.id('curl-events').innerText();
        const typed = spawnSync('bash', ['-c', line.replace('curl ', 'curl -sS ')], { encoding: 'utf8' });
        const said = JSON.parse(typed.stdout).events.filter(({ type }) => type === 'client.message');
        assert.deepEqual(said.map(({ data }) => data.n ?? data), ['Hello, backends', 9007199254740993]);
    });

    test('a plain client, and one whose messages are not taken, is offered nothing to say', async (t) => {
        const { page } = await openDemo(t);
        assert.equal(await page.id('say').isVisible(), false, 'nor is who is offline');
        await page.connect('ada', 'plain');
        assert.equal(await page.id('say').isVisible(), false);
        await page.goOffline();
        await page.connect('ada');
        assert.equal(await page.id('say').isVisible(), true);
        const herald = await t.herald({ store: 'memory', args: ['--demo', '--client-messages', 'off'] });
        const off = new DemoPage(await t.tab(`http://127.0.0.1:${herald.port}/`));
        await off.connect('ada');
        assert.equal(await off.id('say').isVisible(), false);
    });

    test('what was said and not answered is said again on the next connection', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.connect('ada');
        herald.child.signal('SIGSTOP');
        await page.id('say').fill('again');
        await page.id('say-it').click();
        await herald.kill();
        await page.waitState('connecting');
        await herald.restart();
        await page.waitState('online');
        await page.page.waitForSelector('#said:not([hidden])', { timeout: 15000 });
        assert.match(await page.id('said').innerText(), /accepted/);
        await page.waitReceived(1);
    });

    /* A browser acknowledges by itself (CONTRACT 5.4): what was shown does not come again. */
    test('what it has received does not come again after a reload', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.connect('reloader');
        await herald.mustPush('reloader', { n: 1 });
        await page.waitReceived(1);
        await herald.waitPending('reloader', 0);
        await page.page.reload();
        assert.equal(await page.id('user-id').inputValue(), 'reloader', 'the userId is remembered');
        await page.connect('reloader');
        await herald.mustPush('reloader', { n: 2 });
        await page.waitReceived(1);
        assert.deepEqual(await page.received(), ['{"n":2}']);
    });

    test('what is pushed is shown as text, never as markup', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.connect('careful');
        await herald.mustPush('careful', { title: '<img src=x onerror=alert(1)>', text: '<b>bold</b>' });
        await page.waitReceived(1);
        assert.equal(await page.page.locator('#feed img, #feed b').count(), 0);
        assert.match(await page.id('feed').innerText(), /<b>bold<\/b>/);
    });

    test('ttl 0 to nobody is dropped, and a text that is not JSON is not sent', async (t) => {
        const { page } = await openDemo(t);
        await page.id('user-id').fill('absent');
        assert.match(await page.push('1', '0'), /200 dropped/);
        await page.id('data').fill('{nope');
        await page.id('send').click();
        await waitUntil('it says so', async () => /Not JSON/.test(await page.id('answer').innerText()));
    });

    test('a kicked page stays away and says why', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.connect('kicked');
        assert.equal((await herald.post('/deleteClient', { userId: 'kicked' })).status, 200);
        await page.waitState('offline');
        assert.match(await page.id('state-detail').innerText(), /4503/);
        assert.equal((await herald.user('kicked')).online, false);
    });

    test('comes back by itself after a restart, and ?user= connects at once', async (t) => {
        const { herald, page } = await openDemo(t);
        await page.page.goto(`http://127.0.0.1:${herald.port}/?user=returning`);
        await page.waitState('online');
        await herald.stop();
        await page.waitState('connecting');
        await herald.restart();
        await page.waitState('online');
        await herald.mustPush('returning', { back: true });
        await page.waitReceived(1);
    });

    test('over https the page subscribes by wss, and hears on after another certificate', async (t) => {
        const authority = new Authority(t.tempDir());
        const files = authority.issue('server');
        const herald = await t.herald({ store: 'file', args: ['--demo', '--tls-cert', files.cert, '--tls-key', files.key] });
        const page = new DemoPage(await t.tab(`https://127.0.0.1:${herald.port}/`));
        await page.connect('ada');
        assert.equal(await page.page.evaluate(() => window.isSecureContext && location.protocol), 'https:');
        await herald.mustPush('ada', { n: 1 });
        await page.waitReceived(1);
        await herald.waitPending('ada', 0);
        authority.issue('server');
        herald.child.signal('SIGHUP');
        await waitUntil('it has read again', () => /option=--tls-cert .*result=replaced/.test(herald.log));
        await herald.mustPush('ada', { n: 2, text: 'x'.repeat(50000) });
        await page.waitReceived(2);
        await page.goOffline();
        await waitUntil('Herald knows', async () => !(await herald.user('ada')).online);
        await herald.mustPush('ada', { n: 3 });
        await page.connect('ada');
        await page.waitReceived(3);
        assert.deepEqual((await page.received()).map((text) => JSON.parse(text).n), [1, 2, 3]);
        assert.ok(await herald.metric('herald_tls_handshakes_total') > 0);
    });

    test('the page makes a good picture', takePicture);
};
