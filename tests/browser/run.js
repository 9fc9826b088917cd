'use strict';
/* node tests/browser/run.js --herald PATH [--update-screenshot]
 *
 * A real browser on the demo page: subscribe, receive, go offline, be pushed to, come back and receive
 * what was missed, in order. Keeps tests/out/demo.png. The last line is "N passed, N failed, N skipped". */

const assert = require('node:assert/strict');
const fs = require('node:fs');
const path = require('node:path');
const { Authority, Scope, waitUntil, within } = require('../e2e/harness');

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => fs.existsSync(file));
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const OUT = path.join(__dirname, '../out');
const PICTURE = path.join(__dirname, '../../deploy/demo.png');

function parseArguments(args) {
    const options = { herald: path.join(__dirname, '../../build/release/herald'), isUpdating: false, only: '' };
    for (let i = 0; i < args.length; i++) {
        if (args[i] === '--update-screenshot') {
            options.isUpdating = true;
        } else if (['--herald', '--only'].includes(args[i]) && args[i + 1]) {
            options[args[i].slice(2)] = args[++i];
        } else {
            throw new Error(`not understood: ${args[i]} (usage: run.js --herald PATH [--update-screenshot])`);
        }
    }
    options.herald = path.resolve(options.herald);
    return options;
}

class Page {
    constructor(page) {
        this.page = page;
        this.errors = [];
        this.foreign = [];
        page.on('pageerror', (error) => this.errors.push(error.message));
        page.on('request', (request) => {
            if (!/^(https?:\/\/127\.0\.0\.1:|data:)/.test(request.url())) {
                this.foreign.push(request.url());
            }
        });
    }

    id(name) {
        return this.page.getByTestId(name);
    }

    async waitState(state) {
        await this.page.waitForSelector(`#state[data-state="${state}"]`, { timeout: 15000 });
    }

    async connect(userId) {
        await this.id('user-id').fill(userId);
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

    async push(text, ttl = '') {
        await this.id('data').fill(text);
        await this.id('ttl').selectOption(ttl);
        const answered = this.page.waitForResponse((response) => response.url().endsWith('/demo/push'));
        await this.id('send').click();
        await answered;
        await this.page.waitForSelector('#send:not([disabled])');
        return this.id('answer').innerText();
    }

    checkClean() {
        assert.deepEqual(this.errors, [], 'no error in the page');
        assert.deepEqual(this.foreign, [], 'the page asks nobody else');
    }
}

async function waitOffline(herald, userId) {
    await waitUntil('Herald knows', async () => !(await herald.user(userId)).online);
}

const tests = {
    'subscribes, receives, goes offline, comes back and receives what it missed, in order':
        async ({ herald, page }) => {
            await page.connect('ada');
            await herald.mustPush('ada', { title: 'Through the admin port', n: 1 });
            await page.waitReceived(1);
            const answer = await page.push('{"title":"Through the page","n":9007199254740993}');
            assert.match(answer, /202 sent/);
            await page.waitReceived(2);
            assert.equal((await page.received())[1], '{"title":"Through the page","n":9007199254740993}');
            assert.match(await page.id('feed').innerText(), /9007199254740993/);

            await page.goOffline();
            await waitOffline(herald, 'ada');
            await herald.mustPush('ada', { n: 3 });
            assert.match(await page.push('{"n":4}'), /202 stored/);
            assert.equal((await page.received()).length, 2);
            await page.connect('ada');
            await page.waitReceived(4);
            assert.deepEqual((await page.received()).slice(2), ['{"n":3}', '{"n":4}']);
            assert.equal(await page.id('counter').innerText(), '4');
            await herald.waitPending('ada', 0);
        },

    /* A browser acknowledges by itself (CONTRACT 5.4): what was shown does not come again. */
    'what it has received does not come again after a reload': async ({ herald, page }) => {
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
    },

    'what is pushed is shown as text, never as markup': async ({ herald, page }) => {
        await page.connect('careful');
        await herald.mustPush('careful', { title: '<img src=x onerror=alert(1)>', text: '<b>bold</b>' });
        await page.waitReceived(1);
        assert.equal(await page.page.locator('#feed img, #feed b').count(), 0);
        assert.match(await page.id('feed').innerText(), /<b>bold<\/b>/);
    },

    'ttl 0 to nobody is dropped, and a text that is not JSON is not sent': async ({ page }) => {
        await page.id('user-id').fill('absent');
        assert.match(await page.push('1', '0'), /200 dropped/);
        await page.id('data').fill('{nope');
        await page.id('send').click();
        await waitUntil('it says so', async () => /Not JSON/.test(await page.id('answer').innerText()));
    },

    'a kicked page stays away and says why': async ({ herald, page }) => {
        await page.connect('kicked');
        assert.equal((await herald.post('/deleteClient', { userId: 'kicked' })).status, 200);
        await page.waitState('offline');
        assert.match(await page.id('state-detail').innerText(), /4503/);
        assert.equal((await herald.user('kicked')).online, false);
    },

    'comes back by itself after a restart, and ?user= connects at once': async ({ herald, page }) => {
        await page.page.goto(`http://127.0.0.1:${herald.port}/?user=returning`);
        await page.waitState('online');
        await herald.stop();
        await page.waitState('connecting');
        await herald.restart();
        await page.waitState('online');
        await herald.mustPush('returning', { back: true });
        await page.waitReceived(1);
    },
};

/* These have Herald with a certificate, which the browser is told to take. */
const testsOverTls = {
    'over https: the page subscribes by wss, and hears on after another certificate': async ({ herald, page, authority }) => {
        await page.connect('ada');
        assert.equal(await page.page.evaluate(() => window.isSecureContext && location.protocol), 'https:');
        await herald.mustPush('ada', { n: 1 });
        await page.waitReceived(1);
        await herald.waitPending('ada', 0);
        authority.issue('server');
        herald.child.signal('SIGHUP');
        await waitUntil('it has read again', () => /certificates=read/.test(herald.log));
        await herald.mustPush('ada', { n: 2, text: 'x'.repeat(50000) });
        await page.waitReceived(2);
        await page.goOffline();
        await waitOffline(herald, 'ada');
        await herald.mustPush('ada', { n: 3 });
        await page.connect('ada');
        await page.waitReceived(3);
        assert.deepEqual((await page.received()).map((text) => JSON.parse(text).n), [1, 2, 3]);
        assert.ok(await herald.metric('herald_tls_handshakes_total') > 0);
    },
};

/* The picture for people: a few good-looking notifications. */
async function takePicture({ herald, page, isUpdating }) {
    await page.page.setViewportSize({ width: 1120, height: 820 });
    await page.page.goto(`http://127.0.0.1:${herald.port}/`);
    await page.connect('ada');
    for (const data of [
        { title: 'Goal!', text: 'Rovers 2 : 1 United', minute: 87, live: true },
        { title: 'Your order is on its way', order: 'A-20718', items: ['Tea', 'Kettle'], eta: '16:40' },
    ]) {
        await herald.mustPush('ada', data);
    }
    await page.waitReceived(2);
    await page.push(JSON.stringify({ title: 'A message from Grace', text: 'The build is green. Shall we ship it?', unread: 3 }, null, 2));
    await page.waitReceived(3);
    await page.page.evaluate(() => {
        document.activeElement.blur();
        return Promise.all(document.getAnimations().map((animation) => animation.finished.catch(() => {})).slice(0, 8));
    });
    fs.mkdirSync(OUT, { recursive: true });
    const file = path.join(OUT, 'demo.png');
    await page.page.screenshot({ path: file, scale: 'css' });
    assert.ok(fs.statSync(file).size > 10000, 'a picture of some size');
    if (isUpdating) {
        fs.copyFileSync(file, PICTURE);
    }
}

async function runOne(name, body, browser, options) {
    const scope = new Scope(options.herald);
    const begin = Date.now();
    let failure = null;
    let herald;
    const isSecure = name in testsOverTls;
    try {
        const authority = isSecure ? new Authority(scope.tempDir()) : undefined;
        const files = authority?.issue('server');
        const tls = isSecure ? ['--tls-cert', files.cert, '--tls-key', files.key] : [];
        herald = await scope.herald({ store: 'file', args: ['--demo', ...tls] });
        const browserContext = await browser.newContext({ colorScheme: 'light', ignoreHTTPSErrors: isSecure });
        scope.cleanup(() => browserContext.close());
        const page = new Page(await browserContext.newPage());
        await page.page.goto(`${isSecure ? 'https' : 'http'}://127.0.0.1:${herald.port}/`);
        await within(body({ herald, page, authority, isUpdating: options.isUpdating }), 45000, 'the whole test');
        page.checkClean();
    } catch (error) {
        failure = error;
    }
    await scope.end().catch((error) => { failure ??= error; });
    console.log(`${failure ? 'FAIL' : 'ok  '} browser: ${name} (${Date.now() - begin} ms)`);
    if (failure) {
        console.log(String(failure.stack ?? failure));
        console.log(herald?.log.trimEnd().split('\n').slice(-10).map((line) => `     | ${line}`).join('\n') ?? '');
    }
    return failure === null;
}

async function main() {
    const options = parseArguments(process.argv.slice(2));
    const all = Object.entries({ ...tests, ...testsOverTls, 'the page makes a good picture': takePicture })
        .filter(([name]) => name.includes(options.only));
    if (!CHROMIUM) {
        all.forEach(([name]) => console.log(`skip browser: ${name}: chromium is not installed`));
        console.log(`0 passed, 0 failed, ${all.length} skipped`);
        return;
    }
    const { chromium } = require('playwright-core');
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    let passed = 0;
    try {
        for (const [name, body] of all) {
            passed += await runOne(name, body, browser, options);
        }
    } finally {
        await browser.close();
    }
    process.exitCode = passed === all.length && all.length > 0 ? 0 : 1;
    console.log(`${passed} passed, ${all.length - passed} failed, 0 skipped`);
}

main().catch((error) => {
    console.log(error.stack ?? error.message);
    console.log('0 passed, 1 failed, 0 skipped');
    process.exit(1);
});
