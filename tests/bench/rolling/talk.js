'use strict';
/* Questions and answers between ../rolling.js and the processes that it starts: what is sent is {what, ...}, and each gets
 * one answer. */

const { fork } = require('node:child_process');
const { within } = require('./tools');

const ANSWER_MS = 120000;

/* Starts a script of this folder; ask(what, more) answers what its table of answers has for `what`; stop() ends it. */
function startPart(scope, script, options = {}) {
    const child = fork(`${__dirname}/${script}`, [JSON.stringify(options)]);
    const exited = new Promise((resolve) => { child.once('exit', resolve); });
    const stop = () => {
        child.kill('SIGKILL');
        return exited;
    };
    scope.cleanup(stop);
    let asked = 0;
    const ask = (what, more = {}) => within(new Promise((resolve, reject) => {
        const number = ++asked;
        const take = (answer) => {
            if (answer.number === number) {
                child.off('message', take);
                resolve(answer.value);
            }
        };
        child.on('message', take);
        child.once('exit', (code) => reject(new Error(`${script} ended with ${code}`)));
        child.send({ number, what, more });
    }), ANSWER_MS, `an answer of ${script} to ${what}`);
    child.setMaxListeners(0);
    return { ask, stop };
}

/* In the process that was started: its options, and what it answers. */
const optionsOfPart = () => JSON.parse(process.argv[2]);

function answerAll(answers) {
    process.on('message', async ({ number, what, more }) => {
        process.send({ number, value: await answers[what](more) ?? null });
    });
    process.on('disconnect', () => process.exit(1));
}

module.exports = { answerAll, optionsOfPart, startPart };
