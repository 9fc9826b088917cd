'use strict';
/* node tests/chaos/fleets.js [--herald PATH] [--seconds 20] [--seed N] [--only NAME]: short runs of fleet.js, one behind
 * Sentinels and one on a Cluster, with a node, a primary and the endpoint of a webhook killed and a node replaced in each.
 * It prints a line for each invariant, as the other programs of the tests do. */

const { spawn } = require('node:child_process');
const path = require('node:path');

const FAULTS = 'kill -9 of a node|kill -9 of the primary|kill -9 of a primary|upgrade of a node|kill -9 of the endpoint';
const SIZE = { nodes: 3, connections: 60, rate: 60, every: 4, only: FAULTS };

function parseArguments(args) {
    const options = { herald: path.join(__dirname, '../../build/release/herald'), seconds: '20', seed: String(Date.now() % 2 ** 31), only: '' };
    for (let i = 0; i < args.length; i += 2) {
        const name = args[i].replace(/^--/, '');
        if (!(name in options) || args[i + 1] === undefined) {
            throw new Error(`not understood: ${args[i]}; the options are ${Object.keys(options).map((each) => `--${each}`).join(' ')}`);
        }
        options[name] = args[i + 1];
    }
    return options;
}

/* What it prints, and how it ended. */
function runFleet(values) {
    const args = Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
    const child = spawn(process.execPath, [path.join(__dirname, 'fleet.js'), ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
    process.once('SIGTERM', () => child.kill('SIGTERM'));
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (piece) => { text += piece; });
    return new Promise((resolve) => { child.on('close', (code) => resolve({ code, text })); });
}

async function main() {
    const { herald, seconds, seed, only } = parseArguments(process.argv.slice(2));
    const counts = { passed: 0, failed: 0 };
    console.log(`seed ${seed}`);
    for (const store of ['sentinel', 'cluster']) {
        const title = `chaos fleet: ${store}, ${seconds} s`;
        if (!title.includes(only)) {
            continue;
        }
        const { code, text } = await runFleet({ herald, store, seconds, seed, ...SIZE });
        const good = text.match(/^ok  /gm)?.length ?? 0;
        const bad = text.match(/^FAIL/gm)?.length ?? 0;
        counts.passed += good;
        counts.failed += code === 0 ? bad : Math.max(bad, 1);
        console.log(text.replace(/^(ok  |FAIL) /gm, `$1 ${title}: `).trimEnd());
    }
    console.log(`${counts.passed} passed, ${counts.failed} failed, 0 skipped`);
    process.exit(counts.failed === 0 && counts.passed > 0 ? 0 : 1);
}

main().catch((error) => {
    console.log(`${error.message}\n0 passed, 1 failed, 0 skipped`);
    process.exit(1);
});
