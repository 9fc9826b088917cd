'use strict';
/* What no log and no problem body may contain (CONTRACT 2, 3, 7): tokens, tickets, keys, payloads.
 * Tests register theirs as they make them, and the run looks at all that every Herald has logged and
 * answered when it is over. */

const secrets = new Set();
const heralds = new Set();
const problems = new Set();

/* Registers, and answers, a secret. */
function secret(text) {
    secrets.add(text);
    return text;
}

/* Something with a `log`, which may grow yet. */
function keepLog(herald) {
    heralds.add(herald);
}

function keepProblem(text) {
    problems.add(text);
}

/* Each secret that stands somewhere, by its first characters and what is before it. */
function findLeaks() {
    const texts = [...[...heralds].map(({ log }) => log), ...problems];
    const leaks = [];
    for (const text of texts) {
        for (const found of secrets) {
            const at = text.indexOf(found);
            if (at >= 0) {
                leaks.push(`${found.slice(0, 12)}... behind "${text.slice(Math.max(0, at - 100), at)}"`);
            }
        }
    }
    return leaks;
}

module.exports = { findLeaks, keepLog, keepProblem, secret, secretCount: () => secrets.size };
