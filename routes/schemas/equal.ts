/** `true` when two types are the same, to the last optional property. */
export type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false

/** Does not compile unless what it is given is `true`: `proven<Equal<A, B>>()`. */
export function proven<_Claim extends true>(): void {}
