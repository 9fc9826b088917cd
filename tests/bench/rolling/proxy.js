'use strict';
/* A process that is the balancer, as a TCP proxy; started by ../rolling.js. */

const { answerAll } = require('./talk');
const { Balancer } = require('./tools');

const balancer = new Balancer();

answerAll({
    nodes: ({ nodes }) => balancer.set(nodes),
    listen: () => balancer.listen(),
    counts: () => Object.fromEntries([...balancer.backends.values()].map(({ name, count }) => [name, count])),
    figures: () => ({ failedOver: balancer.failedOver }),
});
