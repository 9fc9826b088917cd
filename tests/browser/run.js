'use strict';
/* node tests/browser/run.js --herald PATH [--only NAME] [--update-screenshot]
 *
 * Real pages in headless Chromium: runs every *.test.js beside it, one test after the other. NAME is a part of
 * "file: test". Keeps tests/out/demo.png. The last line is "N passed, N failed, N skipped". */

const fs = require('node:fs');
const path = require('node:path');
const { Scope, within } = require('../e2e/harness');
const { Tab } = require('./pages');

const CHROMIUM = ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find((file) => fs.existsSync(file));
const FLAGS = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const DEFAULT_TIMEOUT_MS = 45000;

function parseArguments(args) {
    const options = { herald: path.join(__dirname, '../../build/release/herald'), isUpdating: false, only: '' };
    for (let i = 0; i < args.length; i++) {
        if (args[i] === '--update-screenshot') {
            options.isUpdating = true;
        } else if (['--herald', '--only'].includes(args[i]) && args[i + 1]) {
            options[args[i].slice(2)] = args[++i];
        } else {
            throw new Error(`not understood: ${args[i]} (usage: run.js --herald PATH [--only NAME] [--update-screenshot])`);
        }
    }
    options.herald = path.resolve(options.herald);
    if (!fs.existsSync(options.herald)) {
        throw new Error(`no program at ${options.herald}: build it, or say --herald PATH`);
    }
    return options;
}

/* [{title, body, timeoutMs}]; a test file exports a function that gets test(name, [{timeoutMs},] body). */
function loadAll(only) {
    const tests = [];
    for (const file of fs.readdirSync(__dirname).filter((name) => name.endsWith('.test.js')).sort()) {
        require(path.join(__dirname, file))((name, options, body) => {
            const title = `${path.basename(file, '.test.js')}: ${name}`;
            const timeoutMs = (body && options.timeoutMs) || DEFAULT_TIMEOUT_MS;
            tests.push({ title, body: body ?? options, timeoutMs });
        });
    }
    return tests.filter(({ title }) => title.includes(only));
}

async function runOne({ title, body, timeoutMs }, browser, options) {
    const t = new Scope(options.herald);
    const tabs = [];
    const begin = Date.now();
    let failure = null;
    t.isUpdating = options.isUpdating;
    try {
        const browserContext = await browser.newContext({ colorScheme: 'light', ignoreHTTPSErrors: true });
        t.cleanup(() => browserContext.close());
        t.tab = async (url) => {
            const tab = new Tab(await browserContext.newPage());
            tabs.push(tab);
            await tab.page.goto(url);
            return tab;
        };
        await within(body(t), timeoutMs, 'the whole test');
        tabs.forEach((tab) => tab.checkClean());
    } catch (error) {
        failure = error;
    }
    await t.end().catch((error) => { failure ??= error; });
    console.log(`${failure ? 'FAIL' : 'ok  '} ${title} (${Date.now() - begin} ms)`);
    if (failure) {
        console.log(String(failure.stack ?? failure));
        for (const { log } of t.heralds) {
            console.log(log.trimEnd().split('\n').slice(-10).map((line) => `     | ${line}`).join('\n'));
        }
    }
    return failure === null;
}

async function main() {
    const options = parseArguments(process.argv.slice(2));
    const all = loadAll(options.only);
    if (!CHROMIUM) {
        all.forEach(({ title }) => console.log(`skip ${title}: chromium is not installed`));
        console.log(`0 passed, 0 failed, ${all.length} skipped`);
        return;
    }
    const { chromium } = require('playwright-core');
    const browser = await chromium.launch({ executablePath: CHROMIUM, args: FLAGS });
    let passed = 0;
    try {
        for (const test of all) {
            passed += await runOne(test, browser, options);
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
