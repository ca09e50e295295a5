import { BelfryElement, controllerOf } from './base-element.ts'

/** `<belfry-inbox>`: the inbox as a part of a page. */
export class BelfryInbox extends BelfryElement {
  constructor() {
    super('region')
  }

  override connectedCallback(): void {
    super.connectedCallback()
    void controllerOf(this).show()
  }

  override disconnectedCallback(): void {
    controllerOf(this).hide()
    super.disconnectedCallback()
  }
}
