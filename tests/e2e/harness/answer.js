'use strict';
/* One HTTP answer as the tests see it: {status, headers, text, json}. */

const { keepProblem } = require('./secrets');

function collect(response, resolve, reject) {
    const chunks = [];
    response.on('data', (chunk) => chunks.push(chunk));
    response.on('error', reject);
    response.once('end', () => resolve(answerOf(response.statusCode, response.headers,
        Buffer.concat(chunks).toString())));
}

function answerOf(status, headers, text) {
    const answer = { status, headers, text, json: undefined };
    if (status >= 400) {
        keepProblem(text);
    }
    try {
        answer.json = JSON.parse(text);
    } catch {
        /* not every answer is JSON */
    }
    return answer;
}

module.exports = { answerOf, collect };
