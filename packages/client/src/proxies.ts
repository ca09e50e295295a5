/**
 * Binds the methods and getters of an object's classes to the object. Frameworks such as Vue wrap objects in a Proxy, and a method that is
 * called on a Proxy cannot access private fields.
 */
export function bindMembers(target: object): void {
  for (let type = Object.getPrototypeOf(target); type !== Object.prototype; type = Object.getPrototypeOf(type)) {
    for (const [name, member] of Object.entries(Object.getOwnPropertyDescriptors(type))) {
      if (name === 'constructor' || Object.hasOwn(target, name)) continue
      member.get &&= member.get.bind(target)
      member.value &&= member.value.bind(target)
      Object.defineProperty(target, name, member)
    }
  }
}
