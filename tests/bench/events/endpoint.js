'use strict';
/* The other end of a webhook: counts what comes, and how long it was on its way. Started by ../events.js. */

const http = require('node:http');
const { answerAll } = require('../rolling/talk');
const { freePort, nowMs, quantile } = require('./tools');

const state = { events: 0, repeats: 0, requests: 0, times: [] }; /* times: [when it was said, how long it took] */
const seen = new Set();

function take(text) {
    const now = nowMs();
    state.requests += 1;
    for (const { id, data } of JSON.parse(text).events) {
        state.repeats += seen.has(id) ? 1 : 0;
        seen.add(id);
        state.events += 1;
        if (data?.t !== undefined) {
            state.times.push([data.t, now - data.t]);
        }
    }
}

async function listen() {
    const port = await freePort();
    const server = http.createServer((request, response) => {
        const chunks = [];
        request.on('data', (chunk) => chunks.push(chunk));
        request.on('end', () => {
            take(Buffer.concat(chunks).toString());
            response.writeHead(200).end();
        });
    });
    server.keepAliveTimeout = 120000;
    await new Promise((resolve) => { server.listen(port, '127.0.0.1', resolve); });
    return port;
}

/* The times are of what was said from then on. */
function counts({ fromMs }) {
    const times = state.times.filter(([said]) => said >= fromMs).map(([, took]) => took);
    return { ...state, times: undefined, p50: quantile(times, 0.5), p99: quantile(times, 0.99) };
}

answerAll({ listen, count: () => state.events, counts });
