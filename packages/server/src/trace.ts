/** The parts of the global API of OpenTelemetry that carry a context into a request. */
interface TraceApi {
  context?: { active(): unknown }
  propagation?: {
    inject(
      context: unknown,
      carrier: Record<string, string>,
      setter: { set(carrier: Record<string, string>, name: string, value: string): void }
    ): void
  }
}

/** The key under which `@opentelemetry/api` 1.x registers itself, so that copies of it find each other. */
const API = Symbol.for('opentelemetry.js.api.1')

const setter = {
  set(carrier: Record<string, string>, name: string, value: string): void {
    carrier[name] = value
  }
}

/** Returns the headers of the active trace context, as `traceparent`; undefined if the app does not trace, or no span is active. */
export function traceHeaders(): Record<string, string> | undefined {
  const { context, propagation } = (globalThis as unknown as Record<symbol, TraceApi | undefined>)[API] ?? {}
  if (context === undefined || propagation === undefined) return undefined
  const headers: Record<string, string> = {}
  propagation.inject(context.active(), headers, setter)
  return Object.keys(headers).length === 0 ? undefined : headers
}
