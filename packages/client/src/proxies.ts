/**
 * Binds the methods and getters of the object's classes to the object. Frameworks such as Vue hand out objects wrapped in a Proxy, and a
 * method that is called on a Proxy cannot reach private fields.
 */
export function bindMembers(target: object): void {
  for (let type = Object.getPrototypeOf(target); type !== Object.prototype; type = Object.getPrototypeOf(type)) {
    for (const [name, member] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (name === 'constructor' || Object.hasOwn(target, name)) continue
      const bound = member.get ? { get: member.get.bind(target) } : { value: member.value.bind(target), writable: true }
      Object.defineProperty(target, name, { ...bound, configurable: true })
    }
  }
}
