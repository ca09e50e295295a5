/** The package has no types. */
declare module 'cluster-key-slot' {
  /** Returns the Cluster slot of a key: CRC-16/XMODEM of its hash tag, or of the whole key if it has none. */
  export default function slotOf(key: string): number
}
