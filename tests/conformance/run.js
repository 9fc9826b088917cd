'use strict';
/* node tests/conformance/run.js --echo PATH [--only NAME]
 * Tests Herald's protocol code, through herald-echo, with the published case list of the Autobahn TestSuite: sections
 * 1-7, 9, 10, 12 and 13. NAME is a case's id or a section ("6.4").
 * The last line is "N passed, N failed, N skipped"; the exit is 0 when something ran and nothing failed. */

const assert = require('node:assert/strict');
const { spawn } = require('node:child_process');
const fs = require('node:fs');
const path = require('node:path');
const { closeFrame, connect, encodeFrame } = require('./client');

/* What is larger is not worth being shown to the decoder byte by byte. */
const SMALL_BYTES = 2048;

function parseArguments(args) {
    const options = { echo: path.join(__dirname, '../../build/release/tests/herald-echo'), only: '' };
    for (let i = 0; i < args.length; i += 2) {
        const name = args[i].replace(/^--/, '');
        if (!(name in options) || args[i + 1] === undefined) {
            throw new Error(`not understood: ${args[i]} (usage: run.js --echo PATH [--only NAME])`);
        }
        options[name] = args[i + 1];
    }
    return options;
}

const children = [];
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')));
process.on('SIGTERM', () => process.exit(1));
process.on('SIGINT', () => process.exit(1));

/* herald-echo on a port of its choice. */
async function start(binary, args) {
    const child = spawn(binary, ['--listen', '127.0.0.1:0', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    children.push(child);
    let output = '';
    let errors = '';
    child.stderr.on('data', (chunk) => { errors += chunk; });
    const ended = new Promise((resolve) => { child.on('close', (code, signal) => resolve({ code, signal })); });
    await new Promise((resolve, reject) => {
        child.on('error', reject);
        child.stdout.on('data', (chunk) => {
            output += chunk;
            if (output.includes('\n')) {
                resolve();
            }
        });
        ended.then(() => reject(new Error(`herald-echo ended: ${errors}`)));
    });
    return {
        port: Number(/:(\d+)\n/.exec(output)[1]),
        /* A clean end, and nothing that a sanitizer would have said. */
        stop: async () => {
            child.kill('SIGTERM');
            assert.deepEqual({ ...await ended, errors }, { code: 0, signal: null, errors: '' });
        },
    };
}

const isPause = (step) => step.quiet !== undefined || step.wait !== undefined || step.failed;

async function pause(client, step) {
    if (step.failed) {
        const isClose = () => client.events.at(-1)?.[0] === 'close';
        assert.ok(await client.until(isClose, 2000), 'the connection fails before the message has ended');
    } else {
        const before = client.events.length;
        await client.until(() => step.quiet !== undefined && client.events.length !== before, step.quiet ?? step.wait);
        assert.ok(!client.isOver, 'the connection goes on');
        assert.ok(step.quiet === undefined || client.events.length === before, 'nothing is said yet');
    }
}

/* One frame in three pieces: quiet after the first, failed after the second, the third is still on its way then. */
async function sendCut(client, frame) {
    const bytes = encodeFrame(frame);
    let at = bytes.length - frame.payload.length;
    for (const [i, cut] of frame.cuts.entries()) {
        await client.write(bytes.subarray(i === 0 ? 0 : at, at + cut));
        at += cut;
        await pause(client, i === 0 ? { quiet: 100 } : { failed: true });
    }
    await client.write(bytes.subarray(at));
}

async function send(client, steps, how) {
    let waiting = [];
    const flush = async () => {
        const bytes = Buffer.concat(waiting);
        waiting = [];
        if (typeof how === 'number') {
            await client.writeChopped(bytes, how);
        } else if (bytes.length > 0) {
            await client.write(bytes);
        }
    };
    for (const step of steps) {
        if (step.cuts) {
            await sendCut(client, step);
        } else if (isPause(step)) {
            await flush();
            await pause(client, step);
        } else {
            waiting.push(encodeFrame(step));
            if (how === 'frames') {
                await flush();
            }
        }
    }
    await flush();
}

const shown = ([kind, what]) => (typeof what === 'number' ? `${kind} ${what}`
    : `${kind} ${what.length} bytes ${what.subarray(0, 40).toString('hex')}`);

async function runFrames(test, port, how) {
    const client = await connect(port);
    try {
        await send(client, test.code === undefined ? [...test.send, closeFrame(1000)] : test.send, how);
        await client.waitEnd();
        const expected = [...test.echo.map(([kind, what]) => [kind, Buffer.from(what)]), ['close', test.code ?? 1000]];
        assert.deepEqual(client.events.map(shown), expected.map(shown));
        client.events.forEach(([, what], i) => assert.ok(typeof what === 'number' || what.equals(expected[i][1])));
    } finally {
        client.socket.destroy();
    }
}

function allTests(echo) {
    const tests = [];
    for (const test of require('./frames')) {
        tests.push([test.id, () => runFrames(test, echo.whole.port, test.how)]);
        const size = test.send.reduce((sum, { payload = '' }) => sum + Buffer.byteLength(payload), 0);
        if (size <= SMALL_BYTES) {
            const how = test.how === 1 ? 'whole' : test.how;
            tests.push([`${test.id} byte by byte`, () => runFrames(test, echo.bytes.port, how)]);
        }
    }
    require('./large').forEach(({ id, run }) => tests.push([id, () => run(echo.whole.port)]));
    require('./compressed').forEach(({ id, run }) => tests.push([id, () => run(echo.compressed.port)]));
    return tests;
}

async function runOne(name, run, counts) {
    const begin = Date.now();
    try {
        await run();
        counts.passed += 1;
        console.log(`ok   ${name} (${Date.now() - begin} ms)`);
    } catch (error) {
        counts.failed += 1;
        console.log(`FAIL ${name} (${Date.now() - begin} ms)\n${String(error.stack).replace(/^/gm, '     ')}`);
    }
}

const isChosen = (name, only) => only === '' || name === only
    || (name.startsWith(only) && /^[ .]/.test(name.slice(only.length)));

async function main() {
    const { echo: binary, only } = parseArguments(process.argv.slice(2));
    if (!fs.existsSync(binary)) {
        throw new Error(`no program at ${binary}: build it, or say --echo PATH`);
    }
    const echo = {
        whole: await start(binary, []),
        bytes: await start(binary, ['--chop', '1']),
        compressed: await start(binary, ['--compress']),
    };
    const counts = { passed: 0, failed: 0 };
    for (const [name, run] of allTests(echo).filter(([id]) => isChosen(id, only))) {
        await runOne(name, run, counts);
    }
    if (counts.passed + counts.failed === 0) {
        console.log('no test ran');
        process.exitCode = 1;
    }
    for (const [name, { stop }] of Object.entries(echo)) {
        await runOne(`herald-echo (${name}) ends cleanly`, stop, counts);
    }
    if (counts.failed > 0) {
        process.exitCode = 1;
    }
    console.log(`${counts.passed} passed, ${counts.failed} failed, 0 skipped`);
    process.exit();
}

main().catch((error) => {
    console.log(error.message);
    console.log('0 passed, 1 failed, 0 skipped');
    process.exit(1);
});
