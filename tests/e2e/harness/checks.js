'use strict';
/* Checks that many tests share. */

const assert = require('node:assert/strict');

/* An answer is a refusal of CONTRACT 4: the status, and a problem that says the same. */
function assertProblem(answer, status, expected = {}) {
    assert.equal(answer.status, status, answer.text);
    assert.match(answer.headers['content-type'] ?? '', /^application\/problem\+json/);
    const problem = answer.json;
    assert.ok(problem, `a JSON body: ${answer.text}`);
    assert.equal(problem.status, status);
    /* Where the title says all there is to say, there need be no detail. */
    const detail = status === 400 || problem.detail !== undefined ? ['detail'] : [];
    for (const member of ['type', 'title', ...detail]) {
        assert.equal(typeof problem[member], 'string', `${member} in ${answer.text}`);
        assert.notEqual(problem[member], '', `${member} in ${answer.text}`);
    }
    for (const [member, value] of Object.entries(expected)) {
        assert.deepEqual(problem[member], value, `${member} in ${answer.text}`);
    }
}

function assertRequestId(answer) {
    assert.equal(typeof answer.json.requestId, 'string', `requestId in ${answer.text}`);
    assert.ok(answer.json.requestId.length >= 8, `requestId in ${answer.text}`);
}

/* Most of what was done beside a load took less than this: a busy machine delays some of it, a fault most of it. */
function assertMostlySoon(times, limitMs) {
    assert.ok(times.length >= 10, `${times.length} times are too few`);
    const sorted = [...times].sort((a, b) => a - b);
    const median = sorted[Math.floor(sorted.length / 2)];
    assert.ok(median < limitMs, `half of them took ${median} to ${sorted.at(-1)} ms`);
}

module.exports = { assertMostlySoon, assertProblem, assertRequestId };
