'use strict';
/* The other end of a webhook, as a process that may be killed at any moment: what it accepts stands in its file before it
 * answers. Started by readers.js. */

const fs = require('node:fs');
const { WebhookReceiver } = require('../tools');

const { name, port, key, file } = JSON.parse(process.argv[2]);
const ANSWERS = { accept: 200, refuse: 500, deaf: 'hang' };
let how = 'accept';

const log = fs.openSync(file, 'a');

const receiver = new WebhookReceiver({ name, key, answer: ({ events, fault }) => {
    const status = ANSWERS[how];
    if (status === 200) {
        fs.writeSync(log, `${JSON.stringify({ fault, events })}\n`);
    }
    receiver.requests.length = 0;
    return status;
} });
receiver.port = port;
receiver.start().then(() => process.send('listens'));

process.on('message', (message) => { how = message.how; });
process.on('disconnect', () => process.exit(1));
