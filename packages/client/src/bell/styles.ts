/**
 * The styles of the button, and what the panel shares with it. Distances are multiples of 4 px. The page can set colours, radius and font by
 * `--belfry-…` properties. The element inherits the page's `color-scheme`: a light page on a dark system has a light panel. Browsers without
 * `light-dark()` use system colours, which follow it too. The build minifies the text.
 */
export const styles = `
:host {
  --_background: var(--belfry-background, Canvas);
  --_text: var(--belfry-text, CanvasText);
  --_accent: var(--belfry-accent, LinkText);
  display: inline-block;
  position: relative;
  font: 400 14px/20px var(--belfry-font, system-ui, sans-serif);
}
@supports (color: light-dark(#000000, #ffffff)) {
  :host {
    --_background: var(--belfry-background, light-dark(#ffffff, #17191e));
    --_text: var(--belfry-text, light-dark(#16181d, #f2f3f5));
    --_accent: var(--belfry-accent, light-dark(#2f5bea, #8ea8ff));
  }
}
:host(belfry-inbox) { display: block; }
:host([theme='light']) { color-scheme: light; }
:host([theme='dark']) { color-scheme: dark; }
*, *::before, *::after { box-sizing: border-box; }
:host([hidden]), [hidden] { display: none !important; }
button { font: inherit; color: inherit; background: none; border: 0; margin: 0; padding: 0; cursor: pointer; text-align: start; }
:focus { outline: none; }
:focus-visible { outline: 2px solid var(--_accent); outline-offset: 2px; }
svg { display: block; flex: none; width: 20px; height: 20px; fill: none; stroke: currentColor; stroke-width: 1.75; stroke-linecap: round; stroke-linejoin: round; }
.hidden { position: absolute; width: 1px; height: 1px; margin: -1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }

.bell { display: flex; align-items: flex-start; min-width: 40px; height: 40px; padding: 10px; border-radius: 12px; transition: background-color 120ms; }
.bell:hover, .bell[aria-expanded='true'] { background: color-mix(in srgb, currentColor 8%, transparent); }
.bell[aria-busy] { opacity: 0.5; }
.bell.ring svg { animation: ring 600ms ease-in-out; transform-origin: 50% 10%; }
/* The badge overlaps the corner of the icon and makes the button wider: it covers neither the bell nor the button's neighbour. */
.badge {
  flex: none; min-width: 16px; height: 16px; margin-block-start: -10px; margin-inline: -6px -10px; padding-inline: 4px;
  border-radius: 8px; background: var(--belfry-badge, #d92d3a); color: var(--belfry-badge-text, #ffffff); font-size: 11px; font-weight: 600; line-height: 16px;
  text-align: center; white-space: nowrap; font-variant-numeric: tabular-nums; pointer-events: none;
}
.badge:empty, .failure:empty { display: none; }
.failure { position: fixed; z-index: 9999; inset: auto 0 0; padding: 12px; background: var(--_text); color: var(--_background); text-align: center; }

@keyframes ring { 0%, 100% { transform: rotate(0); } 25% { transform: rotate(12deg); } 50% { transform: rotate(-10deg); } 75% { transform: rotate(6deg); } }
@media (prefers-reduced-motion: reduce) { *, *::before, *::after { animation: none !important; transition: none !important; } }
@media (forced-colors: active) { .badge { forced-color-adjust: none; } }
`
