'use strict';
/* A process of publishers, started by ../fleet.js: each pushes one notification after the other, with a key, and repeats
 * it at the next node until one has accepted it. What was accepted goes into a file, [user, n, id, tries] a line. */

const fs = require('node:fs');
const http = require('node:http');
const path = require('node:path');
const { range, sleep } = require('../tools');

const { ports, users, rate, folder, number } = JSON.parse(process.argv[2]);
const LANES = 48;
const TRY_MS = 6000;
const AGAIN_SHARE = 0.02; /* of what is accepted is asked for again elsewhere: the answer must be the same */

const file = fs.createWriteStream(path.join(folder, `accepted-${number}`));
const agent = new http.Agent({ keepAlive: true, maxSockets: 64 });
const counts = { accepted: 0, repeated: 0, begun: 0, confirmed: 0, contradicted: 0, slowestMs: 0, refusals: {} };
const faults = [];
let isOver = false;

function post(port, body) {
    const text = JSON.stringify(body);
    return new Promise((resolve) => {
        const request = http.request({ host: '127.0.0.1', port, path: '/push', method: 'POST', agent, timeout: TRY_MS,
            headers: { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) } }, (response) => {
            let answer = '';
            response.on('data', (chunk) => { answer += chunk; });
            response.on('error', () => resolve({ status: 'broken' }));
            response.on('end', () => {
                try {
                    resolve({ status: response.statusCode, json: JSON.parse(answer), text: answer });
                } catch {
                    resolve({ status: 'broken' });
                }
            });
        });
        request.on('timeout', () => request.destroy(new Error('no answer')));
        request.on('error', () => resolve({ status: 'broken' }));
        request.end(text);
    });
}

async function confirm(port, body, id) {
    const { status, json } = await post(port, body);
    if (status === 202) {
        counts.confirmed += 1;
        if (json.id !== id) {
            counts.contradicted += 1;
            faults.push(`${body.idempotencyKey} was ${id}, and its repeat is ${json.id}`);
        }
    }
}

async function push(lane, at, n) {
    const user = `u${Math.floor(Math.random() * users)}`;
    const body = { userId: user, data: { u: user, n, t: Date.now(), fill: '~'.repeat(160) }, idempotencyKey: `${number}-${lane}-${n}` };
    const begin = Date.now();
    for (let tries = 0; ; tries++) {
        const { status, json, text } = await post(ports[(at + tries) % ports.length], body);
        if (status === 202) {
            file.write(`${JSON.stringify([user, n, json.id, tries])}\n`);
            counts.accepted += 1;
            counts.repeated += tries > 0;
            counts.slowestMs = Math.max(counts.slowestMs, Date.now() - begin);
            if (Math.random() < AGAIN_SHARE) {
                await confirm(ports[(at + tries + 1) % ports.length], body, json.id);
            }
            return at + tries;
        }
        counts.refusals[status] = (counts.refusals[status] ?? 0) + 1;
        if (![500, 503, 'broken'].includes(status) && faults.length < 10) {
            faults.push(`a push was answered ${status}: ${text}`);
        }
        await sleep(30 + Math.random() * 70);
    }
}

/* In step with the clock, as far as the answers let it: rate / LANES a second. */
async function runLane(lane) {
    let at = lane;
    let due = Date.now() + Math.random() * 1000;
    while (!isOver) {
        await sleep(Math.max(0, due - Date.now()));
        due = Math.max(due + 1000 * LANES / rate, Date.now() - 1000);
        counts.begun += 1;
        at = await push(lane, at, number * 1e9 + counts.begun);
    }
}

const lanes = Promise.all(range(LANES).map(runLane));

process.on('message', async (message) => {
    if (message.what === 'stop') {
        isOver = true;
        await lanes; /* each push under way is repeated until it is accepted */
        await new Promise((resolve) => file.end(resolve));
        agent.destroy(); /* what it kept open would count as the nodes' own */
    }
    process.send({ asked: message.asked, number, ...counts, faults });
});
process.on('disconnect', () => process.exit(1));
