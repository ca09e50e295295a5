/** `true` if two types are equal, optional properties included. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Compiles only if its argument is `true`: `proven<Equal<A, B>>()`. */
export function proven<_Claim extends true>(): void {}
