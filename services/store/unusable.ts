/**
 * The store must not be used, and a retry does not help. The message is one sentence for the operator; a start that fails with this error prints
 * it without a stack.
 */
export class StoreUnusable extends Error {}
