'use strict';
/* Pushes to many users of the generator in bodies of lines, before it connects them. It does not take them for its own. */

const { post } = require('./processes');

const userId = (index) => `u${String(index).padStart(6, '0')}`;

const ONE_BODY = 250; /* lines: a Redis under callgrind shall not be away for long */

async function pushBody(node, from, count, more) {
    const data = `"cast ${'x'.repeat(249)}"`;
    const body = Array.from({ length: count }, (_, i) => `{"userId":"${userId(from + i)}"${more(from + i)},"data":${data}}\n`).join('');
    const answer = await post(node, '/push', body, 'application/x-ndjson');
    const kept = answer.split('"seq":').length - 1;
    if (kept !== count) {
        throw new Error(`${count - kept} lines were refused: ${answer.slice(-200)}`);
    }
}

/* 256 bytes to each; more: further fields of the line of a user. The generator takes what begins so for a broadcast. */
async function pushLines(node, from, count, more = () => '') {
    for (let done = 0; done < count; done += ONE_BODY) {
        await pushBody(node, from + done, Math.min(ONE_BODY, count - done), more);
    }
}

module.exports = { pushLines, userId };
