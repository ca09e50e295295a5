/**
 * The store must not be used, and waiting does not help: the message is one sentence for the operator. A start that fails with this error
 * prints the message without a stack.
 */
export class StoreUnusable extends Error {}
