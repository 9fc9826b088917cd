/* The store's contract (gateway/store/store.h) as cases that every backend must pass: each test
 * binary of a backend includes this file once. Cases use the real clock and userIds of their own.
 */
#ifndef HERALD_TESTS_STORE_CONTRACT_CASES_H
#define HERALD_TESTS_STORE_CONTRACT_CASES_H

#include "tests/store/contract_blocks.h"
#include "tests/store/contract_broadcast.h"
#include "tests/store/contract_collapse.h"
#include "tests/store/contract_devices.h"
#include "tests/store/contract_epochs.h"
#include "tests/store/contract_gaps.h"
#include "tests/store/contract_inbox.h"
#include "tests/store/contract_keys.h"
#include "tests/store/contract_order.h"
#include "tests/store/contract_pages.h"
#include "tests/store/contract_positions.h"
#include "tests/store/contract_tickets.h"
#include "tests/store/contract_withdraw.h"

#endif
