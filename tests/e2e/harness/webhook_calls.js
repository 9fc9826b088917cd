'use strict';
/* What tests of webhooks ask of a Herald with an endpoint: its file, events, and what it shows. */

const assert = require('node:assert/strict');
const { waitUntil } = require('./waiting');

const FILE = 'hooks.conf';
const TYPES = 'user.online';

function options(receivers, extra = {}) {
    const lines = receivers.map((receiver) => (typeof receiver === 'string' ? receiver : receiver.line()));
    const { args = [], files = {}, ...rest } = extra;
    return { args: ['--events', TYPES, '--webhooks', FILE, ...args], files: { [FILE]: lines.join(''), ...files }, ...rest };
}

const start = (t, receivers, extra) => t.herald(options(receivers, extra));

/* An event each. */
async function come(herald, users) {
    for (const user of users) {
        await herald.subscribe(user);
    }
}

async function shown(herald, name = 'hook') {
    const answer = await herald.request('GET', '/webhooks');
    assert.equal(answer.status, 200, answer.text);
    return answer.json.webhooks.find((webhook) => webhook.name === name);
}

async function waitShown(herald, what, isSo, name) {
    let webhook;
    await waitUntil(what, async () => {
        webhook = await shown(herald, name);
        return isSo(webhook);
    }).catch((error) => { throw new Error(`${error.message} ${JSON.stringify(webhook)}`); });
}

const requestsOf = (herald, result, endpoint = 'hook') =>
    herald.metric(`herald_webhook_requests_total{endpoint="${endpoint}",result="${result}"}`);

/* Answers with each of these, and the last of them from then on. */
function inTurn(...answers) {
    let n = 0;
    return () => {
        n = Math.min(n + 1, answers.length);
        return answers[n - 1];
    };
}

module.exports = { webhooks: { FILE, TYPES, options, start, come, shown, waitShown, requestsOf, inTurn } };
