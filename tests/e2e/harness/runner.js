'use strict';
/* Runs every *.test.js of a folder: --herald PATH [--only NAME] [--at-once N].
 *
 * The tests of a file run one after the other; N files run at the same time, because most tests wait for time to pass. A
 * file whose tests wait for long exports `lanes`: 'stores', and those of each store (everyStore) run beside those of the
 * others and of none; or 'tests', and each runs beside the others. A file that exports `isAlone` runs when the others have
 * ended. NAME is a part of "file: test".
 * The last line is "N passed, N failed, N skipped"; the exit is 0 when something ran and nothing failed. */

const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { Scope, Skip } = require('./scope');
const { findLeaks, secretCount } = require('./secrets');
const { parallel, within } = require('./waiting');

const DEFAULT_TIMEOUT_MS = 120000;

function parseArguments(args) {
    const options = {
        herald: path.join(__dirname, '../../../build/release/herald'), only: '', 'at-once': os.cpus().length + 4,
    };
    for (let i = 0; i < args.length; i += 2) {
        const name = args[i].replace(/^--/, '');
        if (!(name in options) || args[i + 1] === undefined) {
            throw new Error(`not understood: ${args[i]} (usage: run.js --herald PATH [--only NAME] [--at-once N])`);
        }
        options[name] = args[i + 1];
    }
    options.herald = path.resolve(options.herald);
    return options;
}

/* A test file exports a function that gets test(name, body) or test(name, {timeoutMs, tries}, body). `tries` is for what has
 * to happen within a time: a busy machine misses it now and then, a fault each time. One of them has to succeed, and those
 * that did not are shown. */
function load(file) {
    const tests = [];
    const declare = require(file);
    declare((name, options, body) => {
        const given = body === undefined ? {} : options;
        tests.push({ name, body: body ?? options, timeoutMs: given.timeoutMs ?? DEFAULT_TIMEOUT_MS, tries: given.tries ?? 1 });
    });
    return { subject: path.basename(file, '.test.js'), tests, isAlone: declare.isAlone === true, lanes: declare.lanes };
}

/* What a test gets: a scope of its own, and the Heralds its whole file shares; a further try has others, and more time. */
function toolsFor(scope, fileScope, attempt) {
    scope.skip = (reason) => {
        throw new Skip(reason);
    };
    scope.sharedHerald = async (name, options) => {
        const key = attempt === 1 ? name : `${name}, try ${attempt}`;
        let herald = fileScope.shared.get(key);
        if (herald === undefined || !herald.child.isRunning()) {
            herald = await fileScope.herald(options);
            fileScope.shared.set(key, herald);
        }
        scope.heralds.push(herald);
        scope.cleanup(() => herald.dropClients());
        return herald;
    };
    scope.scale = 3 ** (attempt - 1); /* for the times of a test: a further try has more of it */
    scope.note = (text) => console.log(`     ${text}`);
    return scope;
}

/* A promise that nobody waited for has no test of its own any more: it fails the run. */
const running = new Set();
const strays = [];
process.on('unhandledRejection', (error) => {
    strays.push(`${error?.stack ?? error}\nwhile these ran: ${[...running].join(', ')}`);
});

async function runOnce(test, binary, fileScope, attempt) {
    const scope = toolsFor(new Scope(binary), fileScope, attempt);
    let failure = null;
    try {
        await within(test.body(scope), test.timeoutMs, 'the whole test');
    } catch (error) {
        failure = error;
    }
    const hasFailed = failure !== null && !(failure instanceof Skip);
    let endsCleanly = true; /* what does not was never for want of time */
    try {
        await scope.end();
    } catch (error) {
        failure ??= error;
        endsCleanly = false;
    }
    return { failure, mayTryAgain: hasFailed && endsCleanly, logs: scope.heralds.map((herald) => herald.log) };
}

async function runTest(test, binary, fileScope) {
    for (let attempt = 1; ; attempt++) {
        const result = await runOnce(test, binary, fileScope, attempt);
        if (!result.mayTryAgain || attempt === test.tries) {
            return result;
        }
        console.log(`     try ${attempt} of ${test.tries}: ${test.name}: ${result.failure.message.split('\n')[0]}`);
    }
}

function report(title, failure, logs, ms) {
    if (failure === null) {
        console.log(`ok   ${title} (${ms} ms)`);
        return 'passed';
    }
    if (failure instanceof Skip) {
        console.log(`skip ${title}: ${failure.message}`);
        return 'skipped';
    }
    console.log(`FAIL ${title} (${ms} ms)`);
    console.log(String(failure.stack ?? failure).split('\n').slice(0, 30).map((line) => `     ${line}`).join('\n'));
    for (const log of logs) {
        const tail = log.trimEnd().split('\n').slice(-12).map((line) => `     | ${line.slice(0, 300)}`);
        console.log(tail.join('\n'));
    }
    return 'failed';
}

/* Lists of tests that run one after the other. */
function lanesOf({ tests, lanes }) {
    const found = new Map();
    for (const test of tests) {
        const lane = { stores: / \((memory|file|redis)\)$/.exec(test.name)?.[1], tests: test }[lanes];
        found.set(lane, [...(found.get(lane) ?? []), test]);
    }
    return [...found.values()];
}

async function runLane({ subject, tests, fileScope }, options, counts) {
    for (const test of tests) {
        const title = `${subject}: ${test.name}`;
        if (!title.includes(options.only)) {
            continue;
        }
        const begin = Date.now();
        running.add(title);
        const { failure, logs } = await runTest(test, options.herald, fileScope);
        running.delete(title);
        counts[report(title, failure, logs, Date.now() - begin)] += 1;
    }
}

async function runFile(file, options, counts) {
    const { subject } = file;
    const fileScope = new Scope(options.herald);
    await Promise.all(lanesOf(file).map((tests) => runLane({ subject, tests, fileScope }, options, counts)));
    try {
        await fileScope.end();
    } catch (error) {
        const logs = fileScope.heralds.map((herald) => herald.log);
        counts[report(`${subject}: the program ends cleanly`, error, logs, 0)] += 1;
    }
}

async function runFiles(directory, options, counts) {
    const files = fs.readdirSync(directory).filter((name) => name.endsWith('.test.js')).sort()
        .map((name) => load(path.join(directory, name)));
    const together = files.filter(({ isAlone }) => !isAlone);
    await parallel(together.length, Number(options['at-once']), (i) => runFile(together[i], options, counts));
    for (const file of files.filter(({ isAlone }) => isAlone)) {
        await runFile(file, options, counts);
    }
    for (const stray of strays) {
        counts[report('run: every promise is waited for', new Error(stray), [], 0)] += 1;
    }
}

/* CONTRACT 2, 3, 7: no log or problem of the whole run has a token, ticket, key or payload. */
function checkSecrets(counts) {
    if (secretCount() === 0) {
        return;
    }
    const leaks = findLeaks();
    const failure = leaks.length === 0 ? null : new Error(`${leaks.length} leaks:\n${leaks.slice(0, 20).join('\n')}`);
    const title = `run: none of ${secretCount()} secrets stands in a log or a problem`;
    counts[report(title, failure, [], 0)] += 1;
}

async function runAll(directory) {
    const options = parseArguments(process.argv.slice(2));
    if (!fs.existsSync(options.herald)) {
        throw new Error(`no program at ${options.herald}: build it, or say --herald PATH`);
    }
    const counts = { passed: 0, failed: 0, skipped: 0 };
    await runFiles(directory, options, counts);
    checkSecrets(counts);
    if (counts.passed + counts.failed === 0) {
        console.log('no test ran');
        process.exitCode = 1;
    }
    if (counts.failed > 0) {
        process.exitCode = 1;
    }
    console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
    process.exit();
}

function runFolder(directory) {
    runAll(directory).catch((error) => {
        console.log(error.message);
        console.log('0 passed, 1 failed, 0 skipped');
        process.exit(1);
    });
}

module.exports = { runFolder };
